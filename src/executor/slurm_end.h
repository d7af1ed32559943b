// What became of a Slurm job: judged by what its script left in the trial's folder and by what
// Slurm says of it. No process is started here.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "executor/slurm_text.h"
#include "study/trial.h"

namespace lathe::executor {

struct EndedJob {
  std::string name;              // "Slurm job 12_3"
  std::filesystem::path folder;  // the trial's
  std::string state;             // as Slurm says it; empty: it has forgotten the job
  std::string reason, nodes;
  std::optional<JobExit> exit;  // of this job
  bool cancelled = false;       // by us
  bool hangs = false;           // and was cancelled for it
};

// Whether it can be judged already: on a network file system the files of a node show up late.
bool LeftEnough(const EndedJob& job);

// `hang_seconds` and `save_seconds` ([slurm]) are for its sentences.
study::JobEnd EndOf(int64_t trial, const EndedJob& job, double hang_seconds, double save_seconds);

}  // namespace lathe::executor
