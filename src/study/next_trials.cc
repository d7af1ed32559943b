#include "study/next_trials.h"

#include <algorithm>

namespace lathe::study {

NextTrials::NextTrials(Store& store, search::Proposer& proposer, const ControllerOptions& options,
                       const ControllerHooks& hooks)
    : store_(store), proposer_(proposer), options_(options), hooks_(hooks) {}

void NextTrials::Restore(const std::vector<TrialRecord>& trials) {
  for (const TrialRecord& trial : trials) {
    tried_.insert(trial.encoding);
    if (!trial.imported_from.empty()) ++imported_;
  }
  for (const std::vector<int>& encoding : options_.queue) Enqueue(encoding);
}

bool NextTrials::Enqueued(const std::vector<int>& encoding) const {
  return std::ranges::find(queue_, encoding) != queue_.end();
}

void NextTrials::Enqueue(const std::vector<int>& encoding) {
  if (!Tried(encoding) && !Enqueued(encoding)) queue_.push_back(encoding);
}

std::optional<TrialRecord> NextTrials::Make() {
  const int64_t number = next_number_;
  // The proposer may have asked for it meanwhile.
  while (!queue_.empty() && Tried(queue_.front())) queue_.pop_front();
  const bool queued = !queue_.empty();
  const std::optional<search::Candidate> candidate =
      queued ? hooks_.candidate(queue_.front()) : proposer_.Ask(number);
  if (!candidate) {
    exhausted_ = true;
    return std::nullopt;
  }
  TrialRecord trial = NewTrial(number, *candidate, options_, hooks_);
  store_.Create(trial, queued ? CallKind::kAdd : CallKind::kAsk);
  if (queued) {
    queue_.pop_front();
    proposer_.Restore(number, *candidate);
  }
  ++next_number_;
  tried_.insert(trial.encoding);
  return trial;
}

}  // namespace lathe::study
