// The cost tables of a whole space from a LUT: what stage 1, exact counts and draws work on.
#pragma once

#include <cstdint>
#include <string>

#include "latency/estimator.h"
#include "space/cost_tables.h"

namespace lathe::latency {

struct PriceOptions {
  space::SearchSpace::Head head;
  bool params_and_macs = true;
  bool measured_only = false;  // a layer that the LUT does not have is an error, not an estimate
  int threads = 1;
  std::string lut_name = "the LUT";  // for messages
  std::string space_name = "SPACE";  // file, likewise
};

struct PricedSpace {
  space::CostTables tables;
  int64_t layers = 0;     // that networks of the space can have
  int64_t estimated = 0;  // of them, not in the LUT
};

// Blocking. Throws kInput, saying how many layers are missing and what would fill them, when the
// LUT lacks layers that cannot be estimated, or any with `measured_only`.
PricedSpace PriceSpace(const space::SearchSpace& space, const Estimator& estimator,
                       const PriceOptions& options);

}  // namespace lathe::latency
