#include "study/replay.h"

#include <bit>
#include <utility>

#include "base/error.h"

namespace lathe::study {

Repeater::Repeater(search::Proposer& proposer, const std::vector<TrialRecord>& trials,
                   DescribeCandidate describe)
    : proposer_(proposer), describe_(std::move(describe)) {
  for (const TrialRecord& trial : trials) trials_[trial.number] = &trial;
}

const TrialRecord& Repeater::TrialOf(const Call& call) const {
  const auto found = trials_.find(call.trial);
  if (found != trials_.end()) return *found->second;
  throw Error(ErrorKind::kInput,
              "the study database is damaged: its proposer was called for trial {}, which is not "
              "there",
              call.trial);
}

void Repeater::Repeat(const Call& call) {
  switch (call.kind) {
    case CallKind::kAsk:
    case CallKind::kAdd:
      proposer_.Restore(call.trial, describe_(TrialOf(call).encoding));
      break;
    case CallKind::kReport:
      proposer_.Report(call.trial, call.reported_step(), call.reported_value());
      break;
    case CallKind::kTell:
      proposer_.Tell(call.trial, call.value);
      break;
  }
}

ReplayResult Replay(const std::vector<Call>& calls, const std::vector<TrialRecord>& trials,
                    search::Proposer& proposer, const DescribeCandidate& describe) {
  Repeater repeater(proposer, trials, describe);
  ReplayResult result;
  for (const Call& call : calls) {
    if (call.kind != CallKind::kAsk) {
      repeater.Repeat(call);
      continue;
    }
    const TrialRecord& recorded = repeater.TrialOf(call);
    const std::optional<search::Candidate> now = proposer.Ask(call.trial);
    const bool same =
        now && now->encoding == recorded.encoding &&
        std::bit_cast<uint64_t>(now->latency_us) == std::bit_cast<uint64_t>(recorded.latency_us);
    if (!same) {
      result.difference = {.trial = call.trial,
                           .recorded = recorded.encoding,
                           .recorded_us = recorded.latency_us,
                           .now = now};
      return result;
    }
    ++result.proposals;
  }
  return result;
}

}  // namespace lathe::study
