#include "study/controller.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "study/jobs.h"
#include "study/next_trials.h"
#include "study/orders.h"
#include "study/replay.h"
#include "study/search_clock.h"
#include "study/start_queue.h"
#include "study/trial_reports.h"

namespace lathe::study {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kHopelessFailures = 5;  // all of the first trials
constexpr std::chrono::seconds kStopPatience{
    30};  // executors kill what does not end by itself before that
constexpr std::chrono::seconds kWriteJobsEvery{1};
constexpr int kPollsPerOrders = 5;
constexpr std::chrono::milliseconds kProposeFor{200};

// While another error is under way, which says more.
void CommitIfPossible(Store::Group& group) {
  try {
    group.Commit();
  } catch (const Error& error) {
    spdlog::debug("{}", error.what());
  }
}

// A trial that has not ended.
struct Open {
  TrialRecord record;
  fs::path folder;
  bool running = false;                    // submitted, not yet back
  std::optional<Clock::time_point> since;  // when it started to run, if that was just once
  int started_at = Standing::kNoStep;      // the last step reported before the last start
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
        reports_(store, proposer, options.objective, options.pruning),
        waiting_(options.retry_delay) {}

  SearchEnd Run() {
    Restore();
    while (true) {
      if (StopWanted()) return Stop();
      CarryOutOrders();
      SubmitWaiting();
      const std::optional<SearchEnd> end = Propose();
      if (end && open_.empty()) {
        LookAtJobs();
        clock_.Save();
        return *end;
      }
      std::vector<JobEnd> ends = executor_.Poll();
      // The order of calls matters to the proposer; chance must not decide it.
      std::ranges::stable_sort(ends, {}, &JobEnd::trial);
      InOneWrite([&] {
        for (const JobEnd& job : ends) HandleEnd(job);
        ReportRunning();
      });
      LookAtJobs();
      if (!ends.empty() && !clock_.SecondsLeft()) Foresee();  // the first trials tell
      if (clock_.SaveIsDue()) clock_.Save();
      if (hooks_.on_progress) {
        hooks_.on_progress({.done = completed_ + pruned_ + failed_,
                            .running = Running(),
                            .seconds_left = clock_.SecondsLeft()});
      }
      if (!open_.empty()) std::this_thread::sleep_for(options_.poll_interval);
    }
  }

 private:
  // What happens in the store meanwhile is durable at the end, and only then does it have
  // consequences outside.
  template <typename Function>
  void InOneWrite(const Function& function) {
    Store::Group group(store_);
    try {
      function();
    } catch (const Error&) {
      CommitIfPossible(group);  // what was found out before is true all the same
      throw;
    }
    group.Commit();
    for (const int64_t trial : std::exchange(to_cancel_, {})) executor_.Cancel(trial);
    for (const TrialRecord& trial : std::exchange(finished_, {})) {
      if (hooks_.on_finished) hooks_.on_finished(trial);
    }
  }

  void Restore() {
    const std::vector<TrialRecord> trials = store_.Trials();
    for (const TrialRecord& trial : trials) {
      if (!trial.imported_from.empty()) continue;
      if (trial.state == TrialState::kWaiting || trial.state == TrialState::kRunning) {
        Track(trial);
      } else {
        Count(trial.state);
        NoteAccuracy(trial);
        if (trial.starts == 1) clock_.Ended(trial.end - trial.begin);
      }
    }
    next_.Restore(trials);
    Repeater repeater(proposer_, trials, hooks_.candidate);
    for (const Call& call : store_.Calls()) {
      repeater.Repeat(call);
      if (call.kind == CallKind::kReport) {
        reports_.Repeat(repeater.TrialOf(call), call.reported_step(), call.reported_value());
      }
    }
    // Only now: what a result leads to may need the whole history.
    InOneWrite([&] {
      for (const int64_t number : waiting_.TakeAll()) TakeUp(number);
    });
  }

  // A trial that an earlier controller has left open.
  void TakeUp(int64_t number) {
    Open& trial = open_.at(number);
    if (trial.record.starts > 0) {
      if (Collect(number)) return;
      trial.running = executor_.Adopt(number, trial.folder);
      if (trial.running) store_.LogEvent(fmt::format("trial {} runs already; adopted", number));
    }
    if (reports_.Of(number).to_end) {
      EndEarly(trial);
    } else if (!trial.running) {
      waiting_.Add(number);
    }
  }

  void Count(TrialState state) {
    ++(state == TrialState::kComplete ? completed_
       : state == TrialState::kPruned ? pruned_
                                      : failed_);
  }

  void Track(const TrialRecord& trial) {
    waiting_.Add(trial.number);
    Open& open = open_[trial.number];
    open.record = trial;
    open.folder = options_.trials_folder / TrialFolderName(trial.number);
  }

  void SubmitWaiting() {
    std::vector<int64_t> due =
        waiting_.TakeDue(static_cast<size_t>(std::max(0, executor_.FreeSlots())));
    if (due.empty()) return;
    // A result may have come late.
    InOneWrite([&] {
      std::erase_if(due, [&](int64_t number) {
        return open_.at(number).record.starts > 0 && Collect(number);
      });
    });
    // Each step is durable before the next, so a killed controller finds the trials again wherever
    // it was.
    for (const int64_t number : due) Prepare(open_.at(number));
    InOneWrite([&] {
      for (const int64_t number : due) store_.SetRunning(number);
    });
    for (const int64_t number : due) Submit(open_.at(number));
  }

  void Prepare(const Open& trial) {
    if (trial.record.starts == 0) MoveStaleFolder(trial.folder);
    hooks_.prepare(trial.record, trial.folder);
  }

  void Submit(Open& trial) {
    ++trial.record.starts;
    if (trial.record.begin == 0) trial.record.begin = UnixSeconds();
    trial.started_at = reports_.Of(trial.record.number).step;
    trial.since.reset();
    if (trial.record.starts == 1) trial.since = Clock::now();
    executor_.Submit(trial.record.number, trial.folder);
    trial.running = true;
  }

  // A trial that never ran cannot have results: they are of an earlier study in the same place.
  void MoveStaleFolder(const fs::path& folder) {
    if (!HasResult(folder) && !fs::exists(folder / "checkpoint") &&
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

  // Why there will be no new trials, once that is so.
  std::optional<SearchEnd> NoMore() const {
    if (next_.Exhausted()) return SearchEnd::kExhausted;
    if (next_.Made() >= options_.trials) return SearchEnd::kTrialsDone;
    if (options_.max_seconds > 0 && clock_.Seconds() >= options_.max_seconds)
      return SearchEnd::kTimeUp;
    if (options_.max_slot_seconds > 0 && clock_.SlotSeconds() >= options_.max_slot_seconds)
      return SearchEnd::kSlotTimeUp;
    if (accurate_) return SearchEnd::kAccurate;
    return std::nullopt;
  }

  // Fills the free slots, and the row of those that wait for one, with new trials. Returns why
  // there will be no more, once that is so.
  std::optional<SearchEnd> Propose() {
    std::optional<SearchEnd> end;
    InOneWrite([&] { end = ProposeSome(); });
    SubmitWaiting();
    return end;
  }

  // Not more at once than a slot may wait for.
  std::optional<SearchEnd> ProposeSome() {
    const Clock::time_point start = Clock::now();
    for (int made = 0; made == 0 || Clock::now() - start < kProposeFor; ++made) {
      if (const std::optional<SearchEnd> end = NoMore()) return end;
      if (waiting_.CountDue() >= executor_.FreeSlots() + options_.ahead || StopWanted())
        return std::nullopt;
      if (const std::optional<TrialRecord> trial = next_.Make()) Track(*trial);
    }
    return std::nullopt;
  }

  // An order is removed when what it asks for is in the store: a controller that is killed finds it
  // again, and doing it twice is doing it once.
  void CarryOutOrders() {
    const Clock::time_point now = Clock::now();
    if (options_.orders_folder.empty() ||
        now - orders_read_ < kPollsPerOrders * options_.poll_interval) {
      return;
    }
    orders_read_ = now;
    for (const GivenOrder& given : ReadOrders(options_.orders_folder)) {
      bool done = false;
      InOneWrite([&] { done = CarryOut(given.order); });
      std::error_code ignored;
      if (done) fs::remove(given.file, ignored);
    }
  }

  // True: there is nothing more to do about it.
  bool CarryOut(const Order& order) {
    switch (order.kind) {
      case OrderKind::kStop:
        return false;  // not for this loop alone
      case OrderKind::kPrune:
        PruneByHand(order.trial);
        return true;
      case OrderKind::kEnqueue:
        return Enqueue(order.encoding);
    }
    return false;
  }

  bool Enqueue(const std::vector<int>& encoding) {
    if (next_.Tried(encoding)) return true;
    if (next_.Enqueued(encoding)) return false;
    std::string why_not = hooks_.refuse ? hooks_.refuse(encoding) : "";
    if (why_not.empty() && NoMore()) why_not = "the search makes no new trials any more";
    if (why_not.empty()) {
      next_.Enqueue(encoding);
    } else {
      const std::string event =
          fmt::format("a network that was enqueued is not tried: {}", why_not);
      spdlog::warn("{}", event);
      store_.LogEvent(event);
    }
    return !why_not.empty();
  }

  void PruneByHand(int64_t number) {
    const auto found = open_.find(number);
    if (found == open_.end()) {
      store_.LogEvent(fmt::format("trial {} is to be pruned by hand, but has ended", number));
      return;
    }
    Open& trial = found->second;
    waiting_.Remove(number);
    if (trial.record.starts > 0 && Collect(number)) return;
    const Standing standing = reports_.Of(number);
    trial.record.reason = standing.reported()
                              ? fmt::format("pruned by hand after epoch {}", standing.step)
                              : "pruned by hand";
    if (standing.reported() && std::isfinite(standing.objective))
      trial.record.value = standing.objective;
    store_.LogEvent(fmt::format("trial {} {}", number, trial.record.reason));
    Finish(trial, TrialState::kPruned);
  }

  void HandleEnd(const JobEnd& job) {
    const auto found = open_.find(job.trial);
    if (found == open_.end() || !found->second.running) {
      spdlog::debug("trial {} ended again; its result is known", job.trial);
      return;
    }
    Open& trial = found->second;
    trial.running = false;
    if (Collect(job.trial)) return;
    if (job.io_error) throw DiskError(trial.folder);
    if (!job.continue_me) {
      Crash(trial, CrashReason(trial.folder, job));
      return;
    }
    store_.LogEvent(fmt::format("trial {} goes on from where it was{}", job.trial,
                                job.reason.empty() ? "" : ": " + job.reason));
    // One that keeps saving without having done anything must not keep a slot busy with that.
    if (reports_.Of(job.trial).step == trial.started_at) {
      waiting_.AddDelayed(job.trial);
    } else {
      waiting_.ForgetDelays(job.trial);
      waiting_.Add(job.trial);
    }
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
    reports_.ReadRest(trial.record, trial.folder);
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
      reports_.ReadRest(record, trial.folder);
      Fail(trial, record.crashes > 1
                      ? fmt::format("died {} times, last: {}", record.crashes, reason)
                      : reason);
      return;
    }
    const std::string event = fmt::format("trial {} restarted: {}", record.number, reason);
    spdlog::warn("{}", event);
    store_.LogEvent(event);
    waiting_.AddDelayed(record.number);
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
    trial.record.end = std::max(UnixSeconds(), trial.record.begin);  // clocks are set back, too
    store_.Finish(trial.record);
    NoteAccuracy(trial.record);
    if (trial.since) clock_.Ended(SecondsSince(*trial.since));
    const TrialRecord& record = finished_.emplace_back(std::move(trial.record));
    if (trial.running) to_cancel_.push_back(record.number);  // its end will be nobody's business
    open_.erase(record.number);
    reports_.Forget(record.number);
    waiting_.Remove(record.number);
    Count(state);
    proposer_.Tell(record.number, state == TrialState::kComplete ? record.value : std::nullopt);
  }

  void ReportRunning() {
    std::vector<int64_t> running;
    for (const auto& [number, trial] : open_) {
      if (trial.running) running.push_back(number);
    }
    for (const int64_t number : running) {
      Open& trial = open_.at(number);
      // One that has its result is about to end by itself.
      if (reports_.ReadNews(trial.record, trial.folder) && !HasResult(trial.folder))
        EndEarly(trial);
    }
  }

  // `trial` is gone after this.
  void EndEarly(Open& trial) {
    const Standing standing = reports_.Of(trial.record.number);
    const std::string after = fmt::format("after epoch {}", standing.step);
    if (!std::isfinite(standing.objective)) {
      Fail(trial, fmt::format("diverged: its objective is {} {}", standing.objective, after));
      return;
    }
    trial.record.reason = fmt::format("pruned {}: objective {:.4f} {}", after, standing.objective,
                                      reports_.PruningReason());
    trial.record.value = standing.objective;
    Finish(trial, TrialState::kPruned);
  }

  void NoteAccuracy(const TrialRecord& trial) {
    accurate_ |=
        options_.stop_accuracy > 0 && trial.state == TrialState::kComplete &&
        trial.Metric("accuracy") >= options_.stop_accuracy &&
        (options_.latency_budget_us <= 0 || trial.latency_us <= options_.latency_budget_us);
  }

  // For those who look on, and for the sum of the time that trials run.
  void LookAtJobs() {
    const Clock::time_point now = Clock::now();
    if (now - looked_ < kWriteJobsEvery && !open_.empty()) return;
    looked_ = now;
    const std::vector<JobState> jobs = executor_.Jobs();
    const auto running = static_cast<int>(std::ranges::count(jobs, true, &JobState::running));
    clock_.Passed(running);
    for (const JobState& job : jobs) {
      const auto found = open_.find(job.trial);
      if (!job.running && found != open_.end() && found->second.since) found->second.since = now;
    }
    slots_ = running + std::max(0, executor_.FreeSlots());
    Foresee();
    if (options_.jobs_file.empty() || jobs == jobs_written_) return;
    WriteJobs(options_.jobs_file, jobs);
    jobs_written_ = jobs;
  }

  void Foresee() {
    Workload work{.to_start = waiting_.size(), .slots = slots_};
    for (const auto& [number, trial] : open_) {
      if (trial.running) work.running.push_back(trial.since ? SecondsSince(*trial.since) : 0);
    }
    if (!NoMore()) work.to_start += options_.trials - next_.Made();
    clock_.Foresee(std::move(work), options_.max_seconds, options_.max_slot_seconds);
  }

  // Running trials save and end; they stay RUNNING in the store and go on next time.
  SearchEnd Stop() {
    if (!options_.cancel_on_stop) {
      clock_.Save();
      return SearchEnd::kStopped;
    }
    for (auto& [number, trial] : open_) {
      if (trial.running) executor_.Cancel(number);
    }
    const Clock::time_point deadline = Clock::now() + kStopPatience;
    while (Running() > 0 && Clock::now() < deadline) {
      const std::vector<JobEnd> ends = executor_.Poll();
      InOneWrite([&] {
        for (const JobEnd& job : ends) {
          const auto found = open_.find(job.trial);
          if (found == open_.end()) continue;
          found->second.running = false;
          Collect(job.trial);  // it may have finished just before
        }
      });
      if (Running() > 0) std::this_thread::sleep_for(options_.poll_interval);
    }
    clock_.Save();
    return SearchEnd::kStopped;
  }

  bool StopWanted() const { return hooks_.stop && hooks_.stop(); }

  int Running() const {
    return static_cast<int>(
        std::ranges::count_if(open_, [](const auto& entry) { return entry.second.running; }));
  }

  Store& store_;
  search::Proposer& proposer_;
  Executor& executor_;
  const ControllerOptions& options_;
  const ControllerHooks& hooks_;
  TrialReports reports_;
  std::map<int64_t, Open> open_;
  StartQueue waiting_;  // open trials to be started
  NextTrials next_{store_, proposer_, options_, hooks_};
  int completed_ = 0, pruned_ = 0, failed_ = 0;
  bool accurate_ = false;  // a trial has the accuracy that ends the search
  std::optional<std::vector<JobState>> jobs_written_;
  std::vector<TrialRecord> finished_;  // in the write that is under way
  std::vector<int64_t> to_cancel_;     // likewise
  SearchClock clock_{store_};
  int slots_ = 0;  // that work for this search, or could
  Clock::time_point looked_{};
  Clock::time_point orders_read_{};
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
