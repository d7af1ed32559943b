// Signs of life of a trial: changes of progress.json and metrics.jsonl in its folder. They are
// timed by this process's steady clock, so neither a clock that jumps nor a node whose clock is
// wrong looks like silence.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <utility>

namespace lathe::executor {

class Heartbeat {
 public:
  explicit Heartbeat(const std::filesystem::path& folder);
  // Seconds since the last change that a call has seen; at first, since the construction.
  double SilentSeconds();

 private:
  using Stamp = std::pair<std::filesystem::file_time_type, uintmax_t>;  // time, size
  std::array<Stamp, 2> Stamps() const;

  const std::filesystem::path folder_;
  std::array<Stamp, 2> seen_;
  std::chrono::steady_clock::time_point changed_ = std::chrono::steady_clock::now();
};

}  // namespace lathe::executor
