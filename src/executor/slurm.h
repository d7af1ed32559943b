// Trials as jobs of a Slurm cluster, through its own commands: sbatch, squeue, scancel, and sacct
// where there are accounts. All that a node needs is the study's folder on a shared file system.
// Jobs go on when the controller dies; the next one adopts them, by their names.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "study/config.h"
#include "study/trial.h"

namespace lathe::executor {

struct SlurmOptions {
  int jobs = 0;  // at most so many in the queue, pending ones among them; 0: 100
  int processes_per_trial = 1;
  int threads_per_process = 1;
  int gpus_per_trial = 0;
  double hang_seconds = 0;  // no sign of life while running: the job is cancelled; 0: never
  study::SlurmConfig queue;
  std::string study;                      // its name becomes part of the jobs' names
  std::filesystem::path trials_folder;    // of all trials that will be submitted
  std::vector<std::string> command = {};  // {"/path/lathe", "trial"}; the folder is appended
};

// Throws kUnavailable when Slurm's commands are not there or its controller does not answer. Later
// failures to reach it are waited out. Poll() throws kInput, with Slurm's own words, for a job that
// Slurm refuses for good. Commands run beside the caller, so no call waits for Slurm. Destroying
// the executor leaves the jobs where they are.
std::unique_ptr<study::Executor> MakeSlurmExecutor(const SlurmOptions& options);

}  // namespace lathe::executor
