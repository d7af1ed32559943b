// Trials as child processes in the slots of this machine: each slot has its own CPUs. A child dies
// with the controller, so a new controller never meets an old trial.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "study/trial.h"

namespace lathe::executor {

struct LocalOptions {
  int slots = 0;  // 0: available CPUs / threads_per_slot
  int threads_per_slot = 1;
  std::vector<std::string> command = {};  // {"/path/lathe", "trial"}; the folder is appended
  double hang_seconds = 0;   // no sign of life (heartbeat file) for so long: killed; 0: never
  double stop_seconds = 10;  // from the request to end until it is killed
};

// What a trial prints goes to log.txt in its folder; it finds its number of threads in
// OMP_NUM_THREADS. Signs of life are its start and changes of progress.json and metrics.jsonl.
// Destroying the executor asks running trials to end and waits for them.
std::unique_ptr<study::Executor> MakeLocalExecutor(const LocalOptions& options);

}  // namespace lathe::executor
