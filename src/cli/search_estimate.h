// How long a search will take: from a few candidates that are trained for a moment on this machine,
// one of which goes the whole way.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/search_job.h"

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
  int baselines = 0;  // that have a version within the budget
  // Stages, in seconds.
  double measuring = 0, trials = 0, finalists = 0;
  double total() const { return measuring + trials + finalists; }
  double core_hours = 0;
  Rehearsal rehearsal;
};

// Whether a candidate can be tried on this machine: not where trials are jobs of a cluster or
// programs of the user's own.
bool CanEstimate(const study::StudyConfig& config);

// Blocking, up to a minute; works in a temporary folder. Throws kInput with the trial's own words
// when the candidate cannot be trained, and whatever stops it from being exported, quantised,
// verified, timed or packaged.
SearchEstimate EstimateSearch(StudyContext context);

// Rows of a table: label, text.
std::vector<std::vector<std::string>> ToRows(const SearchEstimate& estimate,
                                             const study::StudyConfig& config);
nlohmann::ordered_json ToJson(const SearchEstimate& estimate);

}  // namespace lathe::cli
