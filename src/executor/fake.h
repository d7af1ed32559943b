// An executor without processes, for tests of the controller: trials end after a number of polls,
// as a script decides.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "study/trial.h"

namespace lathe::executor {

struct FakeEnding {
  int polls = 1;       // Poll() calls until it ends
  bool crash = false;  // end without a result
  bool continue_me = false;
  std::map<std::string, double> metrics = {};
  // "loss" after epochs 1, 2, ..., one per Poll(); what an earlier start has written is not
  // repeated.
  std::vector<double> losses = {};
  std::string error = {};  // not empty: a result that says the trial failed by itself
};
struct FakeOptions {
  int slots = 4;
  // Decides how start number `start` (1-based) of a trial ends.
  std::function<FakeEnding(int64_t trial, int start)> script;
};
std::unique_ptr<study::Executor> MakeFakeExecutor(const FakeOptions& options);

}  // namespace lathe::executor
