#include "study/controller.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "study/replay.h"

namespace lathe::study {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kHopelessFailures = 5;  // all of the first trials
constexpr std::chrono::seconds kSaveTimeEvery{5};
constexpr std::chrono::seconds kStopPatience{
    30};  // executors kill what does not end by itself before that
constexpr char kSearchSeconds[] = "search_seconds";

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A trial that has not ended.
struct Open {
  TrialRecord record;
  fs::path folder;
  bool running = false;                             // submitted, not yet back
  uintmax_t metrics_size = 0;                       // of metrics.jsonl when it was last copied
  int last_step = std::numeric_limits<int>::min();  // reported
  double last_objective = 0;                        // at that step
  bool to_end = false;                              // so says the pruner after that step
};

class Controller {
 public:
  Controller(Store& store, search::Proposer& proposer, Executor& executor,
             const ControllerOptions& options, const ControllerHooks& hooks)
      : store_(store),
        proposer_(proposer),
        executor_(executor),
        options_(options),
        hooks_(hooks),
        pruner_(search::MakePruner(options.pruning)) {}

  SearchEnd Run() {
    Restore();
    while (true) {
      if (StopWanted()) return Stop();
      SubmitWaiting();
      const std::optional<SearchEnd> end = Propose();
      if (end && open_.empty()) {
        SaveTime();
        return *end;
      }
      std::vector<JobEnd> ends = executor_.Poll();
      // The order of calls matters to the proposer; chance must not decide it.
      std::ranges::stable_sort(ends, {}, &JobEnd::trial);
      for (const JobEnd& job : ends) HandleEnd(job);
      ReportRunning();
      if (Clock::now() - saved_ >= kSaveTimeEvery) SaveTime();
      if (hooks_.on_progress) hooks_.on_progress(completed_ + pruned_ + failed_, Running());
      if (!open_.empty()) std::this_thread::sleep_for(options_.poll_interval);
    }
  }

 private:
  void Restore() {
    if (const std::optional<std::string> seconds = store_.Value(kSearchSeconds))
      seconds_before_ = std::stod(*seconds);
    const std::vector<TrialRecord> trials = store_.Trials();
    std::set<std::vector<int>> known;
    for (const TrialRecord& trial : trials) {
      known.insert(trial.encoding);
      if (!trial.imported_from.empty()) {
        ++imported_;
        continue;
      }
      if (trial.state == TrialState::kWaiting || trial.state == TrialState::kRunning) {
        Track(trial);
      } else {
        Count(trial.state);
      }
    }
    for (const std::vector<int>& encoding : options_.queue) {
      if (known.insert(encoding).second) queue_.push_back(encoding);
    }
    Repeater repeater(proposer_, trials, hooks_.candidate);
    for (const Call& call : store_.Calls()) {
      repeater.Repeat(call);
      if (call.kind == CallKind::kReport) {
        Judge(repeater.TrialOf(call), call.reported_step(), call.reported_value());
      }
    }
    // Only now: what a result leads to may need the whole history.
    for (int64_t number : std::exchange(waiting_, {})) {
      Open& trial = open_.at(number);
      if (trial.record.starts > 0 && Collect(number)) continue;
      trial.to_end ? EndEarly(trial) : waiting_.push_back(number);
    }
  }

  void Count(TrialState state) {
    ++(state == TrialState::kComplete ? completed_
       : state == TrialState::kPruned ? pruned_
                                      : failed_);
  }

  void Track(const TrialRecord& trial) {
    waiting_.push_back(trial.number);
    Open& open = open_[trial.number];
    open.record = trial;
    open.folder = options_.trials_folder / TrialFolderName(trial.number);
  }

  void SubmitWaiting() {
    while (!waiting_.empty() && executor_.FreeSlots() > 0) {
      const int64_t number = waiting_.front();
      waiting_.pop_front();
      if (open_.at(number).record.starts == 0 || !Collect(number)) Start(open_.at(number));
    }
  }

  // Each step is durable before the next, so a killed controller finds the trial again wherever it
  // was.
  void Start(Open& trial) {
    if (trial.record.starts == 0) MoveStaleFolder(trial.folder);
    hooks_.prepare(trial.record, trial.folder);
    store_.SetRunning(trial.record.number);
    ++trial.record.starts;
    if (trial.record.begin == 0) trial.record.begin = UnixSeconds();
    executor_.Submit(trial.record.number, trial.folder);
    trial.running = true;
  }

  // A trial that never ran cannot have results: they are of an earlier study in the same place.
  void MoveStaleFolder(const fs::path& folder) {
    if (!fs::exists(folder / "result.json") && !fs::exists(folder / "checkpoint") &&
        !fs::exists(folder / "metrics.jsonl") && !fs::exists(folder / "out")) {
      return;
    }
    fs::path aside;
    for (int i = 1; aside.empty() || fs::exists(aside); ++i)
      aside = folder.string() + fmt::format(".stale-{}", i);
    fs::rename(folder, aside);
    store_.LogEvent(
        fmt::format("{} was there before its trial; moved to {}", folder.string(), aside.string()));
  }

  // Fills the free slots with new trials. Returns why there will be no more, once that is so.
  std::optional<SearchEnd> Propose() {
    if (exhausted_) return SearchEnd::kExhausted;
    while (true) {
      if (store_.next_number() - imported_ >= options_.trials) return SearchEnd::kTrialsDone;
      if (options_.max_seconds > 0 && Seconds() >= options_.max_seconds) return SearchEnd::kTimeUp;
      if (!waiting_.empty() || executor_.FreeSlots() <= 0 || StopWanted()) return std::nullopt;
      const int64_t number = store_.next_number();
      if (!queue_.empty()) {
        const search::Candidate candidate = hooks_.candidate(queue_.front());
        queue_.pop_front();
        const TrialRecord trial = NewTrial(number, candidate, options_, hooks_);
        store_.Create(trial, CallKind::kAdd);
        proposer_.Restore(number, candidate);
        Track(trial);
      } else if (const std::optional<search::Candidate> candidate = proposer_.Ask(number)) {
        const TrialRecord trial = NewTrial(number, *candidate, options_, hooks_);
        store_.Create(trial);
        Track(trial);
      } else {
        exhausted_ = true;
        return SearchEnd::kExhausted;
      }
      SubmitWaiting();
    }
  }

  void HandleEnd(const JobEnd& job) {
    const auto found = open_.find(job.trial);
    if (found == open_.end() || !found->second.running) {
      spdlog::debug("trial {} ended again; its result is known", job.trial);
      return;
    }
    found->second.running = false;
    if (Collect(job.trial)) return;
    if (job.continue_me) {
      waiting_.push_back(job.trial);
      return;
    }
    if (job.io_error) throw DiskError(found->second.folder);
    Crash(found->second, CrashReason(found->second.folder, job));
  }

  // Takes the result of a trial if it is there. False: there is none, and nothing was done.
  bool Collect(int64_t number) {
    Open& trial = open_.at(number);
    std::optional<TrialResult> result;
    try {
      result = ReadResult(trial.folder, number);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kInput) throw;
      fs::rename(trial.folder / "result.json", trial.folder / "result.damaged.json");
      Crash(trial, error.what());
      return true;
    }
    if (!result) return false;
    ReportRest(trial);
    trial.record.metrics.merge(std::map(result->metrics));
    const std::string wanted(options_.objective.metric());
    const auto metric = result->metrics.find(wanted);
    if (!result->ok) {
      Fail(trial, result->error.empty() ? "failed without saying why" : result->error);
    } else if (metric == result->metrics.end()) {
      Fail(trial, fmt::format("its result has no metric '{}'", wanted));
    } else {
      const double value = options_.objective.Of(metric->second, trial.record.latency_us);
      if (std::isfinite(value)) {
        trial.record.value = value;
        Finish(trial, TrialState::kComplete);
      } else {
        Fail(trial, fmt::format("its {} is {}", wanted, metric->second));
      }
    }
    return true;
  }

  void Crash(Open& trial, const std::string& reason) {
    TrialRecord& record = trial.record;
    store_.AddCrash(record.number, reason);
    record.reason = reason;
    if (++record.crashes >= options_.max_starts) {
      ReportRest(trial);
      Fail(trial, record.crashes > 1
                      ? fmt::format("died {} times, last: {}", record.crashes, reason)
                      : reason);
      return;
    }
    const std::string event = fmt::format("trial {} restarted: {}", record.number, reason);
    spdlog::warn("{}", event);
    store_.LogEvent(event);
    waiting_.push_back(record.number);
  }

  void Fail(Open& trial, const std::string& reason) {
    const fs::path log = trial.folder / "log.txt";
    trial.record.reason = reason;
    store_.LogEvent(fmt::format("trial {} failed: {}", trial.record.number, reason));
    Finish(trial, TrialState::kFail);  // `trial` is gone after this
    if (completed_ + pruned_ == 0 && failed_ >= std::min(kHopelessFailures, options_.trials)) {
      throw Error(ErrorKind::kInternal,
                  "all {} trials so far failed, so the search stops; the last one: {}. See {}, "
                  "correct it and continue",
                  failed_, reason, log.string());
    }
  }

  void Finish(Open& trial, TrialState state) {
    trial.record.state = state;
    trial.record.end = UnixSeconds();
    store_.Finish(trial.record);
    const TrialRecord record = std::move(trial.record);
    if (trial.running) executor_.Cancel(record.number);  // its end will be nobody's business
    open_.erase(record.number);
    Count(state);
    proposer_.Tell(record.number, state == TrialState::kComplete ? record.value : std::nullopt);
    if (hooks_.on_finished) hooks_.on_finished(record);
  }

  void ReportRunning() {
    std::vector<int64_t> running;
    for (const auto& [number, trial] : open_) {
      if (trial.running) running.push_back(number);
    }
    for (const int64_t number : running) {
      Open& trial = open_.at(number);
      // One that has its result is about to end by itself.
      if (ReportNews(trial) && !fs::exists(trial.folder / "result.json")) EndEarly(trial);
    }
  }

  // Reports what metrics.jsonl has got since last time, up to the first step after which the trial
  // is to end early. True: there was one.
  bool ReportNews(Open& trial) {
    std::error_code missing;
    const uintmax_t size = fs::file_size(trial.folder / "metrics.jsonl", missing);
    if (missing || size == trial.metrics_size) return false;
    for (const MetricLine& line : ReadMetrics(trial.folder)) {
      const auto metric = line.values.find(std::string(options_.objective.metric()));
      if (metric == line.values.end() || line.step <= trial.last_step) continue;
      Report(trial, line.step, metric->second);
      if (trial.to_end) return true;
    }
    trial.metrics_size = size;
    return false;
  }

  // All of it, of a trial that has ended.
  void ReportRest(Open& trial) {
    while (ReportNews(trial)) {
    }
  }

  void Report(Open& trial, int step, double metric) {
    const TrialRecord& record = trial.record;
    const double objective = options_.objective.Of(metric, record.latency_us);
    store_.AddReport(
        record.number,
        {.step = step, .measured = options_.objective.Measured(metric), .objective = objective});
    proposer_.Report(record.number, step, objective);
    Judge(record, step, objective);
  }

  // The pruner's view of a report, which depends on the reports before alone: the log gives it
  // again.
  void Judge(const TrialRecord& record, int step, double objective) {
    const bool to_end = pruner_->Report(record.number, record.latency_us, step, objective);
    const auto open = open_.find(record.number);
    if (open == open_.end()) return;
    Open& trial = open->second;
    trial.last_step = step;
    trial.last_objective = objective;
    trial.to_end = to_end && step < options_.last_step;
  }

  // `trial` is gone after this.
  void EndEarly(Open& trial) {
    const std::string after = fmt::format("after epoch {}", trial.last_step);
    if (!std::isfinite(trial.last_objective)) {
      Fail(trial, fmt::format("diverged: its objective is {} {}", trial.last_objective, after));
      return;
    }
    const search::PrunerOptions& rule = options_.pruning;
    trial.record.reason = fmt::format(
        "pruned {}: objective {:.4f} {}", after, trial.last_objective,
        rule.rule == "halving" ? fmt::format("is not among the best 1/{} there", rule.reduction)
                               : "is worse than the median there");
    trial.record.value = trial.last_objective;
    Finish(trial, TrialState::kPruned);
  }

  // Running trials save and end; they stay RUNNING in the store and go on next time.
  SearchEnd Stop() {
    for (auto& [number, trial] : open_) {
      if (trial.running) executor_.Cancel(number);
    }
    const Clock::time_point deadline = Clock::now() + kStopPatience;
    while (Running() > 0 && Clock::now() < deadline) {
      for (const JobEnd& job : executor_.Poll()) {
        const auto found = open_.find(job.trial);
        if (found == open_.end()) continue;
        found->second.running = false;
        Collect(job.trial);  // it may have finished just before
      }
      if (Running() > 0) std::this_thread::sleep_for(options_.poll_interval);
    }
    SaveTime();
    return SearchEnd::kStopped;
  }

  bool StopWanted() const { return hooks_.stop && hooks_.stop(); }

  int Running() const {
    return static_cast<int>(
        std::ranges::count_if(open_, [](const auto& entry) { return entry.second.running; }));
  }

  double Seconds() const {
    return seconds_before_ + std::chrono::duration<double>(Clock::now() - started_).count();
  }

  void SaveTime() {
    store_.SetValue(kSearchSeconds, fmt::format("{:.3f}", Seconds()));
    saved_ = Clock::now();
  }

  Store& store_;
  search::Proposer& proposer_;
  Executor& executor_;
  const ControllerOptions& options_;
  const ControllerHooks& hooks_;
  const std::unique_ptr<search::Pruner> pruner_;
  std::map<int64_t, Open> open_;
  std::deque<int64_t> waiting_;         // open trials to be started
  std::deque<std::vector<int>> queue_;  // encodings to try before the proposer is asked
  int64_t imported_ = 0;
  int completed_ = 0, pruned_ = 0, failed_ = 0;
  bool exhausted_ = false;
  double seconds_before_ = 0;  // of earlier runs
  const Clock::time_point started_ = Clock::now();
  Clock::time_point saved_ = started_;
};

}  // namespace

SearchEnd RunController(Store& store, search::Proposer& proposer, Executor& executor,
                        const ControllerOptions& options, const ControllerHooks& hooks) {
  return Controller(store, proposer, executor, options, hooks).Run();
}

TrialRecord NewTrial(int64_t number, const search::Candidate& candidate,
                     const ControllerOptions& options, const ControllerHooks& hooks) {
  TrialRecord trial;
  trial.number = number;
  trial.encoding = candidate.encoding;
  trial.latency_us = candidate.latency_us;
  if (hooks.costs) trial.metrics = hooks.costs(candidate.encoding);
  if (options.latency_budget_us > 0) {
    trial.constraints["latency_us"] = candidate.latency_us - options.latency_budget_us;
  }
  return trial;
}

std::string TrialFolderName(int64_t number) { return fmt::format("{:06d}", number); }

}  // namespace lathe::study
