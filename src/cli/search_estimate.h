// How long a search will take, from training a candidate or two of it for a moment on this machine.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/search_job.h"

namespace lathe::cli {

struct SearchEstimate {
  // End-to-end latencies of networks drawn from the space, ascending (us): whether the budget suits
  // it.
  std::vector<double> latencies_us;
  int fitting = 0;               // of them, within the budget
  double images_per_second = 0;  // of one training while all slots are busy
  int slots = 0;
  // Stages, in seconds.
  double measuring = 0, trials = 0, finalists = 0;
  double total() const { return measuring + trials + finalists; }
  double core_hours = 0;
};

// Blocking, some ten seconds; works in a temporary folder. Throws kInput with the trial's own words
// when the candidate cannot be trained.
SearchEstimate EstimateSearch(StudyContext context);

// Rows of a table: label, text.
std::vector<std::vector<std::string>> ToRows(const SearchEstimate& estimate,
                                             const study::StudyConfig& config);
nlohmann::ordered_json ToJson(const SearchEstimate& estimate);

}  // namespace lathe::cli
