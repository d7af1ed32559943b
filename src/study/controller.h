// The controller loop: keeps every slot busy, collects results, restarts trials that died, gives up
// on a trial without giving up on the study, ends what does not promise enough, and can be killed
// and started again at any moment. Knows no network and no torch: what a trial is made of comes
// through ControllerHooks.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "search/proposer.h"
#include "search/pruner.h"
#include "study/objective.h"
#include "study/replay.h"
#include "study/store.h"
#include "study/trial.h"

namespace lathe::study {

struct ControllerOptions {
  std::filesystem::path trials_folder;  // NAME/trials
  int trials = 32;                      // trained in this study, imported ones not counted
  // Encodings tried first, in this order; those that are trials already are passed over.
  std::vector<std::vector<int>> queue = {};
  // Each of these ends the search once the trials that run then are finished; 0: no limit.
  double max_seconds = 0;       // of searching, over restarts
  double max_slot_seconds = 0;  // summed over running trials, over restarts
  double stop_accuracy = 0;     // of a complete trial within the latency budget

  int ahead = 0;  // trials that wait beside the running ones, so that no slot waits for a proposal
  int max_starts = 3;  // per trial; those that ended with the controller do not count
  // Before a trial that died starts again; doubled each time.
  std::chrono::milliseconds retry_delay{1000};
  bool cancel_on_stop = true;  // otherwise running trials go on without the controller
  StudyObjective objective;
  search::PrunerOptions pruning = {};  // its goal must be the objective's
  double latency_budget_us = 0;        // recorded as each trial's constraint; 0: none
  std::chrono::milliseconds poll_interval{100};
  std::filesystem::path jobs_file;  // gets WriteJobs(); empty: none
  // Orders to prune and to enqueue found there are carried out (orders.h); empty: none.
  std::filesystem::path orders_folder;
};

struct SearchProgress {
  int done = 0, running = 0;           // trials
  std::optional<double> seconds_left;  // until the last trial ends, once that can be said
};

struct ControllerHooks {
  // Writes trial.json and network.json into the folder of a new trial; called again (must be
  // idempotent) before a restart.
  std::function<void(const TrialRecord&, const std::filesystem::path& folder)> prepare;
  DescribeCandidate candidate;
  // Why a network may not be tried; empty: it may. May be null: all may.
  std::function<std::string(const std::vector<int>& encoding)> refuse;
  std::function<std::map<std::string, double>(const std::vector<int>& encoding)>
      costs;  // {"params": ..., "macs": ...}
  std::function<void(const TrialRecord&)>
      on_finished;  // one call per trial that ends COMPLETE, PRUNED or FAIL
  std::function<void(const SearchProgress&)> on_progress;
  std::function<bool()> stop;  // true: cancel running trials (they save) and return
};

enum class SearchEnd { kTrialsDone, kTimeUp, kSlotTimeUp, kAccurate, kExhausted, kStopped };

// Blocking. What is already in the store is restored first: the proposer's calls are repeated in
// their order, RUNNING trials whose result is there are counted, those that the executor still has
// are adopted, the others started again under the same number. A trial that the pruner ends is
// PRUNED in the store before it is cancelled; one that has its result already, or has reported its
// last step, is complete whatever the pruner says. Throws kInternal with the last one's reason and
// log when the first few trials have all failed: then it is not the candidates' fault.
SearchEnd RunController(Store& store, search::Proposer& proposer, Executor& executor,
                        const ControllerOptions& options, const ControllerHooks& hooks);

// A trial that is still to be created.
TrialRecord NewTrial(int64_t number, const search::Candidate& candidate,
                     const ControllerOptions& options, const ControllerHooks& hooks);

// "000123"
std::string TrialFolderName(int64_t number);

}  // namespace lathe::study
