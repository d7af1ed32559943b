// A fixed list of trainings run through an executor, outside the search: finalists and baselines.
// Jobs whose result is already there are not run again, so a killed batch continues where it was.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "study/trial.h"

namespace lathe::study {

struct BatchJob {
  std::filesystem::path folder;  // with trial.json and network.json
  int64_t number = 0;            // unique in the batch; equals the number in trial.json
};

struct BatchOptions {
  int max_starts = 3;
  std::chrono::milliseconds poll_interval{200};
  std::function<void(size_t job, const TrialResult&)>
      on_finished;  // also for results found at the start
  std::function<void()> on_poll;
  std::function<bool()> stop;  // true: running jobs save, then kInterrupted is thrown
  bool cancel_on_stop = true;  // otherwise they go on, and the next batch adopts them
};

// Blocking; one result per job, in order. A job that keeps dying gets a result with !ok and the
// reason.
std::vector<TrialResult> RunBatch(Executor& executor, const std::vector<BatchJob>& jobs,
                                  const BatchOptions& options);

// progress.json: how far a running trial is; its modification time is the trial's sign of life.
struct TrialProgress {
  int64_t step = 0, steps = 0;
  double seconds_left = 0;
};
void WriteProgress(const std::filesystem::path& folder, const TrialProgress& progress);
TrialProgress ReadProgress(const std::filesystem::path& folder);  // zeros while there is none

}  // namespace lathe::study
