// The trials of a search that have not ended: started, followed, collected, restarted, ended early,
// and what the store, the proposer and the executor are told of it. Which trials there are, and
// until when, is for the controller to say. A trial's folder is prepared, then it is RUNNING in the
// store, then submitted; its end is in the store before its job is cancelled or a hook hears of it.
// Each of these steps is durable before the next, so a controller that is killed anywhere finds the
// trials again. What ends trials throws kInternal when the first few have all failed. Not
// thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "search/proposer.h"
#include "study/controller.h"
#include "study/search_clock.h"
#include "study/start_queue.h"
#include "study/store.h"
#include "study/trial.h"
#include "study/trial_reports.h"

namespace lathe::study {

// Of the trials that have ended, in earlier runs too; without imported ones.
struct Tally {
  int complete = 0, pruned = 0, failed = 0;
  bool accurate = false;  // one has the accuracy that ends the search

  int ended() const { return complete + pruned + failed; }
};

class OpenTrials {
 public:
  // All of them must outlive it.
  OpenTrials(Store& store, search::Proposer& proposer, Executor& executor,
             const ControllerOptions& options, const ControllerHooks& hooks, SearchClock& clock);

  // What an earlier controller has left in the store, of which `trials` are all. Call once, first.
  void Restore(const std::vector<TrialRecord>& trials);
  // One that is WAITING in the store.
  void Add(const TrialRecord& trial);

  void StartWaiting();  // as many as there are free slots
  // Which have ended and what the others report, since the last call. True: some have ended. Throws
  // kIo for one that could not write its files.
  bool TakeNews();
  void PruneByHand(int64_t number);

  // Those that run save and end; they stay RUNNING in the store, but for results that come first.
  void CancelRunning();
  void TakeLastResults();

  // What the executor says of its jobs: time in its queue is not a trial's.
  void NoteJobs(const std::vector<JobState>& jobs);

  bool empty() const { return open_.empty(); }
  int Running() const;
  std::vector<double> RunningSeconds() const;  // of each; 0: not known
  int Waiting() const { return waiting_.size(); }
  int Due() const { return waiting_.CountDue(); }  // of the waiting, those that may start now
  const Tally& tally() const { return tally_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Open {
    TrialRecord record;
    std::filesystem::path folder;
    bool running = false;                    // submitted, not yet back
    std::optional<Clock::time_point> since;  // when it started to run, if that was just once
    int started_at = Standing::kNoStep;      // the last step reported before the last start
  };

  void InOneWrite(const std::function<void()>& changes);
  void TakeUp(int64_t number);
  void Prepare(const Open& trial);
  void MoveStaleFolder(const std::filesystem::path& folder);
  void Submit(Open& trial);
  void HandleEnd(const JobEnd& job);
  bool Collect(int64_t number);
  void Crash(Open& trial, const std::string& reason);
  void ReportRunning();
  void Count(const TrialRecord& trial);
  // `trial` is gone after each of these.
  void EndEarly(Open& trial);
  void Fail(Open& trial, const std::string& reason);
  void Finish(Open& trial, TrialState state);

  Store& store_;
  search::Proposer& proposer_;
  Executor& executor_;
  const ControllerOptions& options_;
  const ControllerHooks& hooks_;
  SearchClock& clock_;
  TrialReports reports_;
  std::map<int64_t, Open> open_;
  StartQueue waiting_;  // open trials to be started
  Tally tally_;
  std::vector<TrialRecord> finished_;  // in the write that is under way
  std::vector<int64_t> to_cancel_;     // likewise
};

}  // namespace lathe::study
