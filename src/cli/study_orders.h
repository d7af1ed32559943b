// Orders to a running search (study/orders.h), from `lathe study` and from the live page.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "study/orders.h"

namespace lathe::cli {

// Each says what will happen, and throws kInput when that cannot be.
std::string OrderStop(const std::filesystem::path& folder);
std::string OrderPrune(const std::filesystem::path& folder, int64_t trial);
// `network`: a file, a name of the zoo, or an encoding.
std::string OrderEnqueue(const std::filesystem::path& folder, const std::string& network);

// Whether the search in this process is to stop: Ctrl-C was pressed, or there is an order to, which
// then is as if it had been. Copies are one.
class StopWanted {
 public:
  // Forgets orders to stop that were given to an earlier search.
  explicit StopWanted(const std::filesystem::path& study);
  bool operator()() const;

 private:
  struct State {
    std::filesystem::path orders_folder;
    std::chrono::steady_clock::time_point looked;
  };
  std::shared_ptr<State> state_;
};

}  // namespace lathe::cli
