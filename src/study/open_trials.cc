#include "study/open_trials.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "study/replay.h"

namespace lathe::study {
namespace {

constexpr int kHopelessFailures = 5;  // all of the first trials

}  // namespace

OpenTrials::OpenTrials(Store& store, search::Proposer& proposer, Executor& executor,
                       const ControllerOptions& options, const ControllerHooks& hooks,
                       SearchClock& clock)
    : store_(store),
      proposer_(proposer),
      executor_(executor),
      options_(options),
      hooks_(hooks),
      clock_(clock),
      reports_(store, proposer, options.objective, options.pruning),
      waiting_(options.retry_delay) {}

void OpenTrials::InOneWrite(const std::function<void()>& changes) {
  store_.InOneWrite(changes);
  for (const int64_t trial : std::exchange(to_cancel_, {})) executor_.Cancel(trial);
  for (const TrialRecord& trial : std::exchange(finished_, {})) {
    if (hooks_.on_finished) hooks_.on_finished(trial);
  }
}

void OpenTrials::Restore(const std::vector<TrialRecord>& trials) {
  for (const TrialRecord& trial : trials) {
    if (!trial.imported_from.empty()) continue;
    if (IsFinished(trial.state)) {
      Count(trial);
      if (trial.starts == 1) clock_.Ended(trial.end - trial.begin);
    } else {
      Add(trial);
    }
  }
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

void OpenTrials::Add(const TrialRecord& trial) {
  waiting_.Add(trial.number);
  Open& open = open_[trial.number];
  open.record = trial;
  open.folder = options_.trials_folder / TrialFolderName(trial.number);
}

// A trial that an earlier controller has left open.
void OpenTrials::TakeUp(int64_t number) {
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

void OpenTrials::StartWaiting() {
  std::vector<int64_t> due =
      waiting_.TakeDue(static_cast<size_t>(std::max(0, executor_.FreeSlots())));
  if (due.empty()) return;
  // A result may have come late.
  InOneWrite([&] {
    std::erase_if(
        due, [&](int64_t number) { return open_.at(number).record.starts > 0 && Collect(number); });
  });
  for (const int64_t number : due) Prepare(open_.at(number));
  InOneWrite([&] {
    for (const int64_t number : due) store_.SetRunning(number);
  });
  for (const int64_t number : due) Submit(open_.at(number));
}

void OpenTrials::Prepare(const Open& trial) {
  if (trial.record.starts == 0) MoveStaleFolder(trial.folder);
  hooks_.prepare(trial.record, trial.folder);
}

// A trial that never ran cannot have results: they are of an earlier study in the same place.
void OpenTrials::MoveStaleFolder(const fs::path& folder) {
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

void OpenTrials::Submit(Open& trial) {
  ++trial.record.starts;
  if (trial.record.begin == 0) trial.record.begin = UnixSeconds();
  trial.started_at = reports_.Of(trial.record.number).step;
  trial.since.reset();
  if (trial.record.starts == 1) trial.since = Clock::now();
  executor_.Submit(trial.record.number, trial.folder);
  trial.running = true;
}

bool OpenTrials::TakeNews() {
  std::vector<JobEnd> ends = executor_.Poll();
  // The order of calls matters to the proposer; chance must not decide it.
  std::ranges::stable_sort(ends, {}, &JobEnd::trial);
  InOneWrite([&] {
    for (const JobEnd& job : ends) HandleEnd(job);
    ReportRunning();
  });
  return !ends.empty();
}

void OpenTrials::HandleEnd(const JobEnd& job) {
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

void OpenTrials::ReportRunning() {
  std::vector<int64_t> running;
  for (const auto& [number, trial] : open_) {
    if (trial.running) running.push_back(number);
  }
  for (const int64_t number : running) {
    Open& trial = open_.at(number);
    // One that has its result is about to end by itself.
    if (reports_.ReadNews(trial.record, trial.folder) && !HasResult(trial.folder)) EndEarly(trial);
  }
}

void OpenTrials::PruneByHand(int64_t number) {
  InOneWrite([&] {
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
  });
}

void OpenTrials::CancelRunning() {
  for (const auto& [number, trial] : open_) {
    if (trial.running) executor_.Cancel(number);
  }
}

void OpenTrials::TakeLastResults() {
  const std::vector<JobEnd> ends = executor_.Poll();
  InOneWrite([&] {
    for (const JobEnd& job : ends) {
      const auto found = open_.find(job.trial);
      if (found == open_.end()) continue;
      found->second.running = false;
      Collect(job.trial);
    }
  });
}

// Takes the result of a trial if it is there. False: there is none, and nothing was done.
bool OpenTrials::Collect(int64_t number) {
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

void OpenTrials::Crash(Open& trial, const std::string& reason) {
  TrialRecord& record = trial.record;
  store_.AddCrash(record.number, reason);
  record.reason = reason;
  if (++record.crashes >= options_.max_starts) {
    reports_.ReadRest(record, trial.folder);
    Fail(trial, record.crashes > 1 ? fmt::format("died {} times, last: {}", record.crashes, reason)
                                   : reason);
    return;
  }
  const std::string event = fmt::format("trial {} restarted: {}", record.number, reason);
  spdlog::warn("{}", event);
  store_.LogEvent(event);
  waiting_.AddDelayed(record.number);
}

void OpenTrials::EndEarly(Open& trial) {
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

void OpenTrials::Fail(Open& trial, const std::string& reason) {
  const fs::path log = trial.folder / "log.txt";
  trial.record.reason = reason;
  store_.LogEvent(fmt::format("trial {} failed: {}", trial.record.number, reason));
  Finish(trial, TrialState::kFail);
  if (tally_.complete + tally_.pruned == 0 &&
      tally_.failed >= std::min(kHopelessFailures, options_.trials)) {
    throw Error(ErrorKind::kInternal,
                "all {} trials so far failed, so the search stops; the last one: {}. See {}, "
                "correct it and continue",
                tally_.failed, reason, log.string());
  }
}

void OpenTrials::Finish(Open& trial, TrialState state) {
  trial.record.state = state;
  trial.record.end = std::max(UnixSeconds(), trial.record.begin);  // clocks are set back, too
  store_.Finish(trial.record);
  if (trial.since) clock_.Ended(SecondsSince(*trial.since));
  const TrialRecord& record = finished_.emplace_back(std::move(trial.record));
  if (trial.running) to_cancel_.push_back(record.number);  // its end will be nobody's business
  open_.erase(record.number);
  reports_.Forget(record.number);
  waiting_.Remove(record.number);
  Count(record);
  proposer_.Tell(record.number, record.Outcome());
}

void OpenTrials::Count(const TrialRecord& trial) {
  const bool complete = trial.state == TrialState::kComplete;
  ++(complete                             ? tally_.complete
     : trial.state == TrialState::kPruned ? tally_.pruned
                                          : tally_.failed);
  tally_.accurate |=
      options_.stop_accuracy > 0 && complete &&
      trial.Metric("accuracy") >= options_.stop_accuracy &&
      (options_.latency_budget_us <= 0 || trial.latency_us <= options_.latency_budget_us);
}

void OpenTrials::NoteJobs(const std::vector<JobState>& jobs) {
  const Clock::time_point now = Clock::now();
  for (const JobState& job : jobs) {
    const auto found = open_.find(job.trial);
    if (!job.running && found != open_.end() && found->second.since) found->second.since = now;
  }
}

int OpenTrials::Running() const {
  return static_cast<int>(
      std::ranges::count_if(open_, [](const auto& entry) { return entry.second.running; }));
}

std::vector<double> OpenTrials::RunningSeconds() const {
  std::vector<double> seconds;
  for (const auto& [number, trial] : open_) {
    if (trial.running) seconds.push_back(trial.since ? SecondsSince(*trial.since) : 0);
  }
  return seconds;
}

}  // namespace lathe::study
