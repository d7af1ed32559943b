#include "study/controller.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/file.h"
#include "study/jobs.h"
#include "study/next_trials.h"
#include "study/open_trials.h"
#include "study/orders.h"
#include "study/search_clock.h"

namespace lathe::study {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kStopPatience{
    30};  // executors kill what does not end by itself before that
constexpr std::chrono::seconds kWriteJobsEvery{1};
constexpr int kPollsPerOrders = 5;
constexpr std::chrono::milliseconds kProposeFor{200};

class Controller {
 public:
  Controller(Store& store, search::Proposer& proposer, Executor& executor,
             const ControllerOptions& options, const ControllerHooks& hooks)
      : store_(store),
        executor_(executor),
        options_(options),
        hooks_(hooks),
        clock_(store),
        open_(store, proposer, executor, options, hooks, clock_),
        next_(store, proposer, options, hooks) {}

  SearchEnd Run() {
    Restore();
    while (true) {
      if (StopWanted()) return Stop();
      CarryOutOrders();
      open_.StartWaiting();
      const std::optional<SearchEnd> end = Propose();
      if (end && open_.empty()) {
        LookAtJobs();
        clock_.Save();
        return *end;
      }
      const bool some_ended = open_.TakeNews();
      LookAtJobs();
      if (some_ended && !clock_.SecondsLeft()) Foresee();  // the first trials tell
      if (clock_.SaveIsDue()) clock_.Save();
      if (hooks_.on_progress) {
        hooks_.on_progress({.done = open_.tally().ended(),
                            .running = open_.Running(),
                            .seconds_left = clock_.SecondsLeft()});
      }
      if (!open_.empty()) std::this_thread::sleep_for(options_.poll_interval);
    }
  }

 private:
  void Restore() {
    const std::vector<TrialRecord> trials = store_.Trials();
    next_.Restore(trials);
    open_.Restore(trials);
  }

  // Why there will be no new trials, once that is so.
  std::optional<SearchEnd> NoMore() const {
    if (next_.Exhausted()) return SearchEnd::kExhausted;
    if (next_.Made() >= options_.trials) return SearchEnd::kTrialsDone;
    if (options_.max_seconds > 0 && clock_.Seconds() >= options_.max_seconds)
      return SearchEnd::kTimeUp;
    if (options_.max_slot_seconds > 0 && clock_.SlotSeconds() >= options_.max_slot_seconds)
      return SearchEnd::kSlotTimeUp;
    if (open_.tally().accurate) return SearchEnd::kAccurate;
    return std::nullopt;
  }

  // Fills the free slots, and the row of those that wait for one, with new trials. Returns why
  // there will be no more, once that is so.
  std::optional<SearchEnd> Propose() {
    std::optional<SearchEnd> end;
    store_.InOneWrite([&] { end = ProposeSome(); });
    open_.StartWaiting();
    return end;
  }

  // Not more at once than a slot may wait for.
  std::optional<SearchEnd> ProposeSome() {
    const Clock::time_point start = Clock::now();
    for (int made = 0; made == 0 || Clock::now() - start < kProposeFor; ++made) {
      if (const std::optional<SearchEnd> end = NoMore()) return end;
      if (open_.Due() >= executor_.FreeSlots() + options_.ahead || StopWanted())
        return std::nullopt;
      if (const std::optional<TrialRecord> trial = next_.Make()) open_.Add(*trial);
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
      std::error_code ignored;
      if (CarryOut(given.order)) fs::remove(given.file, ignored);
    }
  }

  // True: there is nothing more to do about it.
  bool CarryOut(const Order& order) {
    switch (order.kind) {
      case OrderKind::kStop:
        return false;  // not for this loop alone
      case OrderKind::kPrune:
        open_.PruneByHand(order.trial);
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

  // For those who look on, and for the sum of the time that trials run.
  void LookAtJobs() {
    const Clock::time_point now = Clock::now();
    if (now - looked_ < kWriteJobsEvery && !open_.empty()) return;
    looked_ = now;
    const std::vector<JobState> jobs = executor_.Jobs();
    const auto running = static_cast<int>(std::ranges::count(jobs, true, &JobState::running));
    clock_.Passed(running);
    open_.NoteJobs(jobs);
    slots_ = running + std::max(0, executor_.FreeSlots());
    Foresee();
    if (options_.jobs_file.empty() || jobs == jobs_written_) return;
    WriteJobs(options_.jobs_file, jobs);
    jobs_written_ = jobs;
  }

  void Foresee() {
    Workload work{.running = open_.RunningSeconds(), .to_start = open_.Waiting(), .slots = slots_};
    if (!NoMore()) work.to_start += options_.trials - next_.Made();
    clock_.Foresee(std::move(work), options_.max_seconds, options_.max_slot_seconds);
  }

  SearchEnd Stop() {
    if (options_.cancel_on_stop) {
      open_.CancelRunning();
      const Clock::time_point deadline = Clock::now() + kStopPatience;
      while (open_.Running() > 0 && Clock::now() < deadline) {
        open_.TakeLastResults();
        if (open_.Running() > 0) std::this_thread::sleep_for(options_.poll_interval);
      }
    }
    clock_.Save();
    return SearchEnd::kStopped;
  }

  bool StopWanted() const { return hooks_.stop && hooks_.stop(); }

  Store& store_;
  Executor& executor_;
  const ControllerOptions& options_;
  const ControllerHooks& hooks_;
  SearchClock clock_;
  OpenTrials open_;
  NextTrials next_;
  std::optional<std::vector<JobState>> jobs_written_;
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
