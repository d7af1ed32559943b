// Trials as child processes in the slots of this machine: each slot has its own CPUs and GPUs. A
// child dies with the controller, so a new controller never meets an old trial.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "study/trial.h"

namespace lathe::executor {

// The CUDA devices of this process, as CUDA_VISIBLE_DEVICES names them.
std::vector<std::string> AvailableGpus();

struct LocalOptions {
  int slots = 0;  // 0: available CPUs / threads_per_slot, or if fewer, GPUs / gpus_per_slot
  int threads_per_slot = 1;
  int gpus_per_slot = 0;
  std::vector<std::string> gpus = AvailableGpus();
  std::vector<std::string> command = {};  // {"/path/lathe", "trial"}; the folder is appended
  double hang_seconds = 0;                // no sign of life for so long: killed; 0: never
  double memory_bytes = 0;   // of a trial with its children; with more it is killed; 0: no limit
  double stop_seconds = 10;  // from the request to end until it is killed
};

// What a trial prints goes to log.txt in its folder; it finds its number of threads in
// OMP_NUM_THREADS and its GPUs in CUDA_VISIBLE_DEVICES. Signs of life are those of Heartbeat.
// Destroying the executor asks running trials to end and waits for them.
std::unique_ptr<study::Executor> MakeLocalExecutor(const LocalOptions& options);

}  // namespace lathe::executor
