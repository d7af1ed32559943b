// Whole searches on a fake cluster whose controller is killed again and again. For tests and
// benchmarks, not for products.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "executor/fake_cluster.h"

namespace lathe::executor {

struct FaultOptions {
  std::filesystem::path folder;  // must not exist
  int trials = 1000, workers = 100;
  int kills = 10;      // SIGKILLs of the controller, at random moments
  double seconds = 2;  // a trial's mean
  std::string proposer = "random";
  uint64_t seed = 1;
  double torn = 0.01, late = 0.01, dead = 0.01, continued = 0.01;
  double poll_seconds = 0.1;
};

// What the controller had used when so many trials had ended.
struct CostSample {
  int trials = 0;
  double cpu_seconds = 0;  // of the life that took it, if there was but one
};

struct FaultReport {
  int killed = 0;                     // controllers; fewer than wished if the search ended before
  std::vector<std::string> mistakes;  // trials lost, counted twice, or trained in two jobs at once
  double utilisation = 0;             // of the workers, until the last trial was started
  double seconds = 0;                 // that the search took
  double cpu_seconds = 0;             // of all controllers
  double peak_bytes = 0;              // resident, of the largest
  int starts = 0;                     // of trials
  std::vector<CostSample> costs;      // every thousand trials, without kills
};

FaultReport RunWithFaults(const FaultOptions& options);

}  // namespace lathe::executor
