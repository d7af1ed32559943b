// A study's folder as the live page sees it: read anew as it changes, also while it is being made,
// and never written to, but for orders if they are allowed.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "report/server.h"
#include "study/overview.h"

namespace lathe::cli {

class LiveStudy : public report::LiveSource {
 public:
  LiveStudy(std::filesystem::path folder, bool orders)
      : folder_(std::move(folder)), orders_(orders) {}

  report::Glance Look() override;
  std::string Status() override;
  std::string PageKey() override;
  std::string Page() override;
  std::string Order(const std::string& json) override;
  std::filesystem::path folder() const override { return folder_; }

  // Reads what there is; returns what is wrong, if anything is.
  std::optional<std::string> Refresh();
  // Whether there is a study yet.
  bool Exists() const;

 private:
  using Clock = std::chrono::steady_clock;

  std::string Title() const;
  std::string Summary() const;

  std::filesystem::path folder_;
  const bool orders_;  // whether the page offers them
  std::string name_;   // empty: not known yet
  int trials_ = 0;     // how many are to be trained
  double budget_us_ = 0;
  study::Overview overview_;
  std::string read_key_;  // of the files that overview_ was read from
  Clock::time_point read_at_;
  Clock::duration cost_{};
};

}  // namespace lathe::cli
