// The cost tables of a stage turned around: for each state after it, all the ways to get there.
// Counting and drawing walk these. Private to this module.
#pragma once

#include <cstdint>
#include <vector>

#include "space/cost_tables.h"

namespace lathe::space {

// One variant of a stage that ends in one state, from any of several states before.
struct Arrival {
  int32_t state = 0;  // after the stage
  int filter = 0, variant = 0;
  int layers_begin = 0, layers_end = 0;  // indices into StageTable::layers; none of them 0 layers
  Cost rest;                             // of each layer but the first
  struct From {
    int32_t state = 0;  // before the stage
    Cost first;         // of the first layer
  };
  std::vector<From> from;
};

struct Arrivals {
  std::vector<Arrival> ways;                       // by state after the stage, then variant
  std::vector<std::pair<int32_t, int32_t>> skips;  // state before, state after: no layer at all
};

Arrivals ArrivalsOf(const StageTable& table);

}  // namespace lathe::space
