// Which trials to end early, from what they report on the way. Deterministic: decisions depend on
// the reports and their order alone, so a history of reports restores a pruner. Not thread-safe.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "search/proposer.h"

namespace lathe::search {

class Pruner {
 public:
  virtual ~Pruner() = default;
  // A running trial's objective after `step` units of training (epochs). True: end it now. NaN and
  // infinite values end it, unless the rule is "none".
  virtual bool Report(int64_t trial, double latency_us, int step, double value) = 0;
  // What a finite value did that ended a trial, as "is worse than the median there".
  virtual std::string Reason() const = 0;
};

struct PrunerOptions {
  // "none".
  // "halving": asynchronous successive halving, stopping form (Li et al. 2020, "A System for
  // Massively Parallel Hyperparameter Tuning"): at the steps first_step * reduction^k a trial ends
  // if it is neither one of the best 1 / reduction, nor of the best `startup`, that have reached
  // it, unless what it will come to, foretold from the trials that have reached last_step
  // (Forecast), is worse than the best by less than 1.5 standard deviations. A proposer that learns
  // brings trials of which two thirds would go although nobody could tell them from the others yet.
  // "median": at every step from first_step on a trial ends when it is worse than half of those
  // that have reached it (Golovin et al. 2017, "Google Vizier"), once these are more than
  // `startup`. "forecast": at every step from first_step on a trial ends when what it will come to
  // is worse than the best by more than three standard deviations.
  std::string rule = "none";
  int first_step = 1;
  int reduction = 3;
  int startup = 5;
  int last_step = std::numeric_limits<int>::max();  // of every trial that is not ended
  // kFront: a trial is compared only with those that are not slower.
  Goal goal = Goal::kLeast;
};

// Throws kInput for an unknown rule (with the nearest name), a first step or startup below 1 or a
// reduction below 2.
std::unique_ptr<Pruner> MakePruner(const PrunerOptions& options);
std::vector<std::string> PrunerNames();

}  // namespace lathe::search
