// How long a search will take: from a candidate or two that go its whole way for a moment on this
// machine; and how long its finalists will take, from the trials before them.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/search_job.h"
#include "study/store.h"

namespace lathe::cli {

// A candidate that went the whole way of a finalist, hardly trained and on few images.
struct Rehearsal {
  double seconds = 0;              // from its export to its package
  double inference_us = 0;         // per image, summed over its files
  std::vector<std::string> files;  // "model.onnx", "model-int8.onnx"
  std::string problem;             // why it would be no finalist; empty: none
};

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
  Rehearsal rehearsal;
};

// Whether a candidate can be tried on this machine: not where trials are jobs of a cluster or
// programs of the user's own.
bool CanEstimate(const study::StudyConfig& config);

// Blocking, some ten seconds; works in a temporary folder. Throws kInput with the trial's own words
// when the candidate cannot be trained, and whatever stops it from being exported, quantised,
// verified, timed or packaged.
SearchEstimate EstimateSearch(StudyContext context);

// Knows nothing before a trial has ended, nor of programs that do not say how long they trained.
class FinalistsForecast {
 public:
  FinalistsForecast(const StudyContext& context, int slots);

  void Note(const study::TrialRecord& ended);
  std::optional<double> Seconds() const;  // to train and measure finalists and baselines

 private:
  int64_t contenders_ = 0;  // finalists and baselines
  double rounds_ = 0;       // trainings one after the other in a slot
  double times_ = 0;        // as much work as a trial
  bool overhead_ = false;   // whether a trial's time beside its training is not that of a queue
  double trained_ = 0, beside_ = 0;  // seconds of the trials noted
  int noted_ = 0;
};

// Rows of a table: label, text.
std::vector<std::vector<std::string>> ToRows(const SearchEstimate& estimate,
                                             const study::StudyConfig& config);
nlohmann::ordered_json ToJson(const SearchEstimate& estimate);

}  // namespace lathe::cli
