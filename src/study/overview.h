// What changes while a study runs, read from study.db in a moment however many trials it holds: for
// those who look at a running study again and again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study/trial.h"

namespace lathe::study {

struct OpenTrial {
  int64_t number = 0;
  bool running = false;  // else it is waiting
  double latency_us = 0, begin = 0;
  int starts = 0;
  std::string reason;  // why it was restarted
};

struct GoodTrial {
  int64_t number = 0;
  double value = 0, accuracy = 0, latency_us = 0;
  bool imported = false;  // it has no folder
};

struct Overview {
  std::map<std::string, int64_t> states;  // "COMPLETE" -> how many
  int64_t imported = 0;                   // of the complete ones
  std::vector<OpenTrial> open;            // by number
  std::vector<GoodTrial> best;            // the first few by objective
  // Latency and accuracy of the complete trials that no other one beats in both, the fastest first.
  std::vector<std::pair<double, double>> front;
  // When the trials will have ended, as the controller saw it last; Unix seconds.
  std::optional<double> foreseen_end;
  std::vector<std::pair<double, std::string>> events;  // the last few, newest first

  int64_t Done() const;  // trials of this study that have ended
};

// Throws as Store::OpenReadOnly() does. Keeps the writer waiting for milliseconds at most.
Overview ReadOverview(const std::filesystem::path& database);

}  // namespace lathe::study
