// Which trials of a study are the best.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "search/proposer.h"
#include "study/store.h"

namespace lathe::study {

struct RankOptions {
  double latency_budget_us = 0;  // by the LUT
  double accuracy = 0;           // above 0: only those that reach it
  search::Goal goal = search::Goal::kLeast;
  size_t top = std::numeric_limits<size_t>::max();  // no more than so many
};

// Trials that are COMPLETE and within the latency budget, best accuracy first (ties: lower
// latency). kFront: of them, only those that no other one beats in accuracy without being slower.
std::vector<TrialRecord> Rank(const std::vector<TrialRecord>& trials, const RankOptions& options);

}  // namespace lathe::study
