// How fine a grid the counts use, and what its rounding can change. Private to this module.
#pragma once

#include <vector>

#include "space/count.h"
#include "space/forward.h"

namespace lathe::space {

struct GridRequest {
  int64_t top_ps = 0;  // latencies of interest are below
  Limits limits;
  int64_t resolution_ps = 0;  // 0: chosen
  size_t memory_bytes = 0;
  Forward::Options forward;
};

struct GridPlan {
  Grid grid;
  PathSums error;  // rounded minus unrounded cost, over all networks; 0 where not looked at
};

// Throws kInput when the resolution asked for needs more than memory_bytes.
GridPlan PlanGrid(const CostTables& tables, const std::vector<Arrivals>& arrivals,
                  const GridRequest& request);

// The least of 1, 2, 5, 10, 20, ... that is not below `at_least`.
int64_t NiceUnit(double at_least);

}  // namespace lathe::space
