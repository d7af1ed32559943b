// How long the trials of a search will still take, judged by how long others took.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace lathe::study {

struct Workload {
  std::vector<double> durations;  // of trials that have ended, in seconds
  std::vector<double> running;    // since when the others run, in seconds
  int64_t to_start = 0;           // trials that come after those
  int slots = 1;                  // that run them, busy ones included
};

// Seconds until the last trial ends, if each slot starts the next trial at once. A running trial is
// expected to take as long as those did that took longer than it has so far. nullopt: no trial has
// ended, or no slot is there.
std::optional<double> SecondsLeft(const Workload& work);

}  // namespace lathe::study
