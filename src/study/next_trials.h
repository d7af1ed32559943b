// Which networks a study tries next: those that were enqueued, then what the proposer asks for.
// Each network once.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "search/proposer.h"
#include "study/controller.h"
#include "study/store.h"

namespace lathe::study {

class NextTrials {
 public:
  NextTrials(Store& store, search::Proposer& proposer, const ControllerOptions& options,
             const ControllerHooks& hooks);

  // Takes options.queue, but what is among the trials that the store has. Call once, first.
  void Restore(const std::vector<TrialRecord>& trials);

  bool Tried(const std::vector<int>& encoding) const { return tried_.contains(encoding); }
  bool Enqueued(const std::vector<int>& encoding) const;
  // Nothing if it is tried or enqueued already.
  void Enqueue(const std::vector<int>& encoding);

  // Makes the next trial in the store. nullopt: there is no network left to try.
  std::optional<TrialRecord> Make();

  int64_t Made() const { return next_number_ - imported_; }  // of this study's own trials
  bool Exhausted() const { return exhausted_; }

 private:
  Store& store_;
  search::Proposer& proposer_;
  const ControllerOptions& options_;
  const ControllerHooks& hooks_;
  std::deque<std::vector<int>> queue_;  // encodings to try before the proposer is asked
  std::set<std::vector<int>> tried_;    // encodings of all trials
  int64_t next_number_ = store_.next_number();
  int64_t imported_ = 0;
  bool exhausted_ = false;
};

}  // namespace lathe::study
