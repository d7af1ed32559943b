// How long a search will take: from training a candidate or two of it for a moment on this machine;
// and how long its finalists will take, from the trials before them.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/search_job.h"
#include "study/store.h"

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

// Knows nothing before a trial has ended, nor of programs that do not say how long they trained.
class FinalistsForecast {
 public:
  FinalistsForecast(const StudyContext& context, int slots);

  void Note(const study::TrialRecord& ended);
  std::optional<double> Seconds() const;  // to train and measure finalists and baselines

 private:
  double rounds_ = 0;      // trainings one after the other in a slot
  double times_ = 0;       // as much work as a trial
  bool overhead_ = false;  // whether a trial's time beside its training is not that of a queue
  double trained_ = 0, beside_ = 0;  // seconds of the trials noted
  int noted_ = 0;
};

// Rows of a table: label, text.
std::vector<std::vector<std::string>> ToRows(const SearchEstimate& estimate,
                                             const study::StudyConfig& config);
nlohmann::ordered_json ToJson(const SearchEstimate& estimate);

}  // namespace lathe::cli
