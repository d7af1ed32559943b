// The study file: everything `lathe search` needs, with defaults. See docs/study-file.md for every
// key.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "data/dataset.h"
#include "engine/engine.h"
#include "search/pruner.h"
#include "study/evaluator_config.h"
#include "study/objective.h"
#include "train/recipe.h"

namespace lathe::study {

struct TargetConfig {
  std::string engine = "openvino";
  engine::TargetOptions options;
  double latency_us = 0;  // budget (latency_ms in the file), required
  double accuracy = 0;    // a finalist needs at least this on the test set; 0: no target
};

// [slurm]. Empty texts leave the choice to the cluster.
struct SlurmConfig {
  std::string partition, account, qos, constraint, gres;
  std::string time_limit;          // of a job, as sbatch takes it: "30", "4:00:00", "1-0"
  std::string memory;              // per node, "8G"
  int nodes = 1;                   // per trial
  std::vector<std::string> extra;  // further options of sbatch: "--exclusive"
  std::vector<std::string> setup;  // shell lines before the trial: "module load cuda"
  double save_seconds = 120;       // before the time limit a trial is told to save
  double poll_seconds = 10;        // between two looks into the queue
  bool cancel_on_stop = true;      // when the search is asked to stop; otherwise jobs go on
};

// [int8]: how finalists are quantised.
struct Int8Config {
  bool finalists = true;  // also where the target's precision is another
  int64_t images = 300;
  std::string ranges = "best";
  double max_drop = 0.005;
};

struct StudyConfig {
  std::string name;
  uint64_t seed = 1;
  data::DataConfig data;
  std::filesystem::path space_file;
  std::map<std::string, std::vector<int>> restrict;  // gene -> allowed choices ([space.restrict])
  TargetConfig target;
  // [latency]
  double lut_seconds = 60;
  std::filesystem::path lut_file;  // an existing LUT to use instead of building one
  // [stage1]
  int64_t stage1_points = 1 << 14;
  std::vector<double> edges_us;  // sub-space edges; default: quarters of the budget
  double subspace_low_us = 0, subspace_high_us = 0;  // default: [0.5, 1] x budget
  // [search]
  std::string proposer = "bayes";
  int trials = 32;
  double max_seconds = 0;      // 0: no limit; trials running then are finished
  double max_gpu_seconds = 0;  // likewise, summed over running trials
  double stop_accuracy = 0;    // no new trials once one within the budget has it; 0: none
  int max_retries = 2;         // restarts of a trial that died
  StudyObjective objective;
  std::vector<std::string> enqueue;  // network files (absolute), zoo names or encodings
  std::vector<std::filesystem::path> warm_start;  // folders of studies, CSV files
  int warm_start_best = 5;        // networks to train again of a study that cannot be compared
  search::PrunerOptions pruning;  // [pruning]; steps are epochs
  EvaluatorConfig evaluator;
  // [trial], [finalists]
  train::Recipe trial_recipe;
  int finalists = 2;
  train::Recipe finalist_recipe;
  Int8Config int8;
  std::vector<std::string> baselines;  // zoo names ("mobilenet_v2"), width chosen to fit the budget
  // [executor]
  std::string executor = "local";
  int slots = 0;  // 0: what the CPUs (and GPUs) allow; on Slurm, 100 jobs in the queue
  int threads_per_slot = 1;
  int processes_per_trial = 1;  // that share the threads of a slot
  int gpus_per_trial = 0;
  double memory_gb = 0;     // a trial of the local executor that uses more is ended; 0: no limit
  double hang_seconds = 0;  // a trial without a sign of life for so long is ended; 0: never
  SlurmConfig slurm;

  // Whether running trials end when the search is asked to stop.
  bool CancelsOnStop() const { return executor != "slurm" || slurm.cancel_on_stop; }

  std::filesystem::path source;  // the file it came from
  std::string resolved_toml;     // what is written to NAME/study.toml
};

// Throws kInput with file, line, key. Paths in the file are relative to the file's folder.
StudyConfig LoadStudy(const std::filesystem::path& path,
                      std::span<const std::string> overrides = {});

}  // namespace lathe::study
