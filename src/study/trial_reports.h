// What running trials report on the way: read from their metrics.jsonl, kept in the store, passed
// on to the proposer, judged by the pruner. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "search/proposer.h"
#include "search/pruner.h"
#include "study/objective.h"
#include "study/store.h"

namespace lathe::study {

// Of a trial, after its last report.
struct Standing {
  static constexpr int kNoStep = std::numeric_limits<int>::min();
  int step = kNoStep;
  double objective = 0;  // at that step
  bool to_end = false;   // so says the pruner
  bool reported() const { return step != kNoStep; }
};

class TrialReports {
 public:
  // Throws kInput for pruning that MakePruner() refuses.
  TrialReports(Store& store, search::Proposer& proposer, const StudyObjective& objective,
               const search::PrunerOptions& pruning);

  // Reports what metrics.jsonl in the trial's folder has got since last time, up to the first step
  // after which the trial is to end early. True: there was one.
  bool ReadNews(const TrialRecord& trial, const std::filesystem::path& folder);
  // All of it, of a trial that has ended.
  void ReadRest(const TrialRecord& trial, const std::filesystem::path& folder);
  // A report that store and proposer have already: the pruner's view depends on the reports and
  // their order alone, so the log gives it again.
  void Repeat(const TrialRecord& trial, int step, double objective);

  Standing Of(int64_t trial) const;
  std::string PruningReason() const { return pruner_->Reason(); }
  void Forget(int64_t trial);

 private:
  void Report(const TrialRecord& trial, int step, double metric);

  Store& store_;
  search::Proposer& proposer_;
  const StudyObjective& objective_;
  const int last_step_;
  const std::unique_ptr<search::Pruner> pruner_;
  std::map<int64_t, Standing> standings_;
  std::map<int64_t, uintmax_t> read_;  // size of metrics.jsonl when all of it was reported
};

}  // namespace lathe::study
