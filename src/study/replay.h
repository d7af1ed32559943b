// Repeating the calls of a study (study/calls.h) on a new proposer: to go on with a search, or to
// check that its proposals come out again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "search/proposer.h"
#include "study/calls.h"
#include "study/store.h"

namespace lathe::study {

// Latency and features of a stored encoding, as its source describes them.
using DescribeCandidate = std::function<search::Candidate(const std::vector<int>& encoding)>;

// The calls of one study on one proposer, one by one.
class Repeater {
 public:
  // All of them must outlive it.
  Repeater(search::Proposer& proposer, const std::vector<TrialRecord>& trials,
           DescribeCandidate describe);

  // As the study called, but with Restore() where it asked. Throws kInput for a call of a trial
  // that is not there.
  void Repeat(const Call& call);
  // Throws kInput likewise.
  const TrialRecord& TrialOf(const Call& call) const;

 private:
  search::Proposer& proposer_;
  std::map<int64_t, const TrialRecord*> trials_;
  const DescribeCandidate describe_;
};

struct ReplayResult {
  int64_t proposals = 0;  // that came out the same
  struct Difference {
    int64_t trial = 0;
    std::vector<int> recorded;
    double recorded_us = 0;                // latency; equal encodings may differ in it
    std::optional<search::Candidate> now;  // nullopt: it has no proposal any more
  };
  std::optional<Difference> difference;  // the first; nothing is replayed after it
};

// Asks a new proposer wherever the study asked, and compares bit for bit.
ReplayResult Replay(const std::vector<Call>& calls, const std::vector<TrialRecord>& trials,
                    search::Proposer& proposer, const DescribeCandidate& describe);

}  // namespace lathe::study
