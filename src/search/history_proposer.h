// What all proposers share: they keep a History, and draw at random where they have nothing better.
#pragma once

#include <cstdint>
#include <optional>

#include "base/random.h"
#include "search/history.h"
#include "search/proposer.h"

namespace lathe::search {

class HistoryProposer : public Proposer {
 public:
  HistoryProposer(CandidateSource& source, const ProposerOptions& options)
      : source_(source), options_(options) {}

  std::optional<Candidate> Ask(int64_t trial) override;
  void Tell(int64_t trial, const Outcome& outcome) override { history_.Tell(trial, outcome); }
  void Report(int64_t trial, int step, double value) override {
    history_.Report(trial, step, value);
  }
  void Restore(int64_t trial, const Candidate& candidate) override {
    history_.Add(trial, candidate);
  }

 protected:
  // One that nobody asked for yet; nullopt: any will do. `random` is the trial's own.
  virtual std::optional<Candidate> Propose(int64_t trial, Random& random) = 0;
  Random Stream(const char* name, int64_t trial) const {
    return Random(SubSeed(options_.seed, name, static_cast<uint64_t>(trial)));
  }

  CandidateSource& source_;
  const ProposerOptions options_;
  History history_;
};

}  // namespace lathe::search
