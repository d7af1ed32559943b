// What a study starts from beside its own trials: results of earlier ones, which are not trained
// again, and networks that are tried first. ([search] warm_start, enqueue.)
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "search/proposer.h"
#include "space/search_space.h"
#include "study/config.h"
#include "study/controller.h"
#include "study/store.h"

namespace lathe::study {

struct EarlierTrial {
  std::vector<int> encoding;
  std::map<std::string, double> metrics;
  std::string origin;  // "trial 12 of runs/a", "results.csv:7"
};

// A study's folder or a table, read.
struct EarlierResults {
  std::string source;
  std::vector<EarlierTrial> trials;  // complete, of the space, canonical
  // Why its results cannot be compared with this study's; empty: they can. A table's always can.
  std::string difference;
  // Not of the space; for the first of them, why.
  size_t outside = 0;
  std::string first_outside;
};

// A folder with study.db, or a CSV file with a column per gene and at least the metric that the
// study's objective takes. Throws kInput naming the file: neither, a study of other genes, a table
// without such columns, or one of which nothing is of the space.
EarlierResults ReadEarlier(const std::filesystem::path& source, const StudyConfig& config,
                           const space::SearchSpace& space);

// What comes of earlier results in a new study.
struct WarmStart {
  std::vector<EarlierTrial> imported;
  std::vector<std::vector<int>> queue;  // to be trained first, in order
  std::vector<std::string> notes;       // what was done, for people
};

struct WarmStartOptions {
  StudyObjective objective;
  int best = 5;  // of results that cannot be compared: how many networks are queued
  std::function<search::Candidate(const std::vector<int>& encoding)> describe;
  std::function<bool(const std::vector<int>& encoding)> in_subspace;
};
// `known`: encodings of the study's trials; they and repetitions are left out.
WarmStart PlanWarmStart(const std::vector<EarlierResults>& earlier,
                        std::set<std::vector<int>> known, const WarmStartOptions& options);

// The record of an imported trial: with this study's objective, latency and costs.
TrialRecord ImportedTrial(int64_t number, const EarlierTrial& earlier,
                          const ControllerOptions& options, const ControllerHooks& hooks);

}  // namespace lathe::study
