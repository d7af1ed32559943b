// The forward pass of the counts: how many ways lead to each state of the cost tables, by cost.
// Private to this module.
#pragma once

#include <functional>
#include <vector>

#include "space/arrivals.h"
#include "space/cost_tables.h"
#include "space/grid.h"

namespace lathe::space {

std::vector<Arrivals> ArrivalsOf(const CostTables& tables);

// A network's cost is a sum of terms: the first layer and the further layers of each stage, and the
// tail. Each passes through `term` and is then summed.
struct PathSums {
  Cost least, greatest;  // of any network, each quantity for itself
  Cost mean;             // over all networks, rounded to whole units
  double rms_ps = 0;     // of latency, likewise
};
PathSums SumOverPaths(const CostTables& tables, const std::vector<Arrivals>& arrivals,
                      const std::function<Cost(const Cost&)>& term);

class Forward {
 public:
  struct Options {
    bool exact = true;  // histograms also count modulo 2^64
    bool keep = false;  // those of all boundaries, not only of the last one
  };
  Forward(const CostTables& tables, const std::vector<Arrivals>& arrivals, const Grid& grid,
          const Options& options);

  // By state after `boundary` stages. Bins from which every network is too slow for the grid are
  // left out.
  const std::vector<Histogram>& At(size_t boundary) const { return boundaries_[boundary]; }
  // The histogram that a way starts from: networks up to and with its first layer.
  void Gather(size_t stage, const Arrival& way, Histogram& sum) const;
  // All networks, tails included.
  Histogram Networks() const;

 private:
  void FindLimits();

  const CostTables& tables_;
  const std::vector<Arrivals>& arrivals_;
  Grid grid_;
  bool exact_;
  std::vector<std::vector<int64_t>> limits_;  // bins, by boundary and state
  std::vector<std::vector<Histogram>> boundaries_;
};

// Bytes of the histograms that a Forward holds at its peak.
double ForwardBytes(const CostTables& tables, const Grid& grid, const Forward::Options& options);

}  // namespace lathe::space
