#include "study/batch.h"

#include <fmt/format.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

class Batch {
 public:
  Batch(Executor& executor, const std::vector<BatchJob>& jobs, const BatchOptions& options)
      : executor_(executor),
        jobs_(jobs),
        options_(options),
        results_(jobs.size()),
        starts_(jobs.size(), 0) {}

  std::vector<TrialResult> Run() {
    for (size_t i = 0; i < jobs_.size(); ++i) {
      if (!Collect(i) && !executor_.Adopt(jobs_[i].number, jobs_[i].folder)) waiting_.push_back(i);
    }
    while (finished_ < jobs_.size()) {
      if (options_.stop && options_.stop()) StopAndThrow();
      StartWaiting();
      for (const JobEnd& end : executor_.Poll()) HandleEnd(end);
      if (options_.on_poll) options_.on_poll();
      if (finished_ < jobs_.size()) std::this_thread::sleep_for(options_.poll_interval);
    }
    std::vector<TrialResult> results;
    for (std::optional<TrialResult>& result : results_) results.push_back(std::move(*result));
    return results;
  }

 private:
  // Takes the result of a job if it is there. A damaged one is put aside and the job runs again.
  bool Collect(size_t job) {
    try {
      std::optional<TrialResult> result = ReadResult(jobs_[job].folder, jobs_[job].number);
      if (!result) return false;
      FinishJob(job, std::move(*result));
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kInput) throw;
      fs::rename(jobs_[job].folder / "result.json", jobs_[job].folder / "result.damaged.json");
      return false;
    }
  }

  void FinishJob(size_t job, TrialResult result) {
    results_[job] = std::move(result);
    ++finished_;
    if (options_.on_finished) options_.on_finished(job, *results_[job]);
  }

  void StartWaiting() {
    for (int slots = executor_.FreeSlots(); slots > 0 && !waiting_.empty(); --slots) {
      const size_t job = waiting_.front();
      waiting_.pop_front();
      executor_.Submit(jobs_[job].number, jobs_[job].folder);
    }
  }

  void HandleEnd(const JobEnd& end) {
    for (size_t job = 0; job < jobs_.size(); ++job) {
      if (jobs_[job].number != end.trial || results_[job]) continue;
      if (Collect(job)) return;
      if (end.io_error) throw DiskError(jobs_[job].folder);
      if (!end.continue_me && ++starts_[job] >= options_.max_starts) {
        FinishJob(job, {.number = end.trial,
                        .ok = false,
                        .error = fmt::format("started {} times, last: {}; see {}", starts_[job],
                                             CrashReason(jobs_[job].folder, end),
                                             (jobs_[job].folder / "log.txt").string()),
                        .metrics = {}});
      } else {
        waiting_.push_back(job);
      }
    }
  }

  [[noreturn]] void StopAndThrow() {
    for (size_t job = 0; job < jobs_.size() && options_.cancel_on_stop; ++job) {
      if (!results_[job]) executor_.Cancel(jobs_[job].number);
    }
    // Saving a checkpoint takes a moment; the executor itself kills what does not end.
    for (int i = 0; options_.cancel_on_stop && i < 150 && executor_.FreeSlots() < total_slots_;
         ++i) {
      executor_.Poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    throw Error(ErrorKind::kInterrupted,
                "stopped; everything finished is kept, continue with --resume");
  }

  Executor& executor_;
  const std::vector<BatchJob>& jobs_;
  const BatchOptions& options_;
  std::vector<std::optional<TrialResult>> results_;
  std::vector<int> starts_;
  std::deque<size_t> waiting_;
  size_t finished_ = 0;
  const int total_slots_ = executor_.FreeSlots();
};

}  // namespace

std::vector<TrialResult> RunBatch(Executor& executor, const std::vector<BatchJob>& jobs,
                                  const BatchOptions& options) {
  return Batch(executor, jobs, options).Run();
}

void WriteProgress(const fs::path& folder, const TrialProgress& progress) {
  const nlohmann::json json = {
      {"step", progress.step}, {"steps", progress.steps}, {"seconds_left", progress.seconds_left}};
  WriteFileQuickly(folder / "progress.json", json.dump() + "\n");
}

TrialProgress ReadProgress(const fs::path& folder) {
  std::error_code missing;
  if (!fs::exists(folder / "progress.json", missing)) return {};
  const nlohmann::json json =
      nlohmann::json::parse(ReadFile(folder / "progress.json"), nullptr, false);
  if (!json.is_object()) return {};
  return {.step = json.value("step", int64_t{0}),
          .steps = json.value("steps", int64_t{0}),
          .seconds_left = json.value("seconds_left", 0.0)};
}

}  // namespace lathe::study
