// A proposer at work on a recorded table, with simulated workers: what a search would have found,
// when, and how busy it would have kept a cluster. Deterministic but for the asks' wall time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "search/pruner.h"
#include "search/table.h"

namespace lathe::search {

struct SimulateOptions {
  std::string proposer = "bayes";
  int budget = 150;  // evaluations; fewer when every feasible row was tried
  int workers = 1;
  double fail_rate = 0;  // share of starts that die on the way; the same trial is started again
  bool until_optimum = false;  // start nothing more once the best feasible row was found
  PrunerOptions pruner;        // on tables with curves
  uint64_t seed = 1;
};

struct Simulation {
  // One entry per evaluation, in the order of their ends; minimised objectives.
  std::vector<size_t> rows;  // of the table
  std::vector<double> best;  // best so far; infinite before the first result
  std::vector<double> ends;  // simulated seconds
  int to_optimum = -1;       // evaluations until the best feasible row was found; -1: not found
  double seconds_to_optimum = -1;  // simulated
  double seconds = 0;              // simulated, from the first start to the last end
  int pruned = 0;                  // trials ended early; they count as evaluations
  double utilisation = 0;          // busy worker-seconds over all of them, until the last start
  int restarts = 0;                // starts that died
  int lost = 0, repeated = 0;      // trials without an end; rows evaluated twice
  double ask_p50_ms = 0, ask_p95_ms = 0, ask_total_s = 0;  // wall time of the proposer
  double controller_cores = 0;  // time in the proposer (asks, tells, reports) per simulated second
  // With workers waiting for their proposals, made one after the other, for as long as it took.
  double utilisation_with_asks = 0;
};

// Blocking.
Simulation Simulate(const Table& table, const SimulateOptions& options);

}  // namespace lathe::search
