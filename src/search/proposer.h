// Ask/tell: a proposer picks the next candidate, whoever runs it. It knows candidates only as
// integer vectors with features and a latency known beforehand; no network, no torch.
// Deterministic: asks depend on the seed, the trial number and what was told before, in that order,
// never on time or threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"

namespace lathe::search {

struct Candidate {
  std::vector<int> encoding;     // identity: equal encodings are the same candidate
  std::vector<double> features;  // known without training: log MACs, log params, log latency,
                                 // depth, ... ; same length for all
  double latency_us = 0;
};

// How one position of the encoding is to be compared.
struct Dimension {
  std::string name;
  std::vector<int> choices;  // ascending
  bool ordinal = true;       // false: categorical
  // Dimensions of one kind ("kernel") and with the same choices share what is learned of a choice,
  // and how it changes along them, in their order. Empty: a kind of its own.
  std::string kind = {};
};

// Feasible candidates only: every draw and neighbour lies inside the sub-space.
class CandidateSource {
 public:
  virtual ~CandidateSource() = default;
  virtual std::vector<Candidate> Draw(int count,
                                      Random& random) = 0;  // may repeat; empty: none exist
  virtual std::vector<Candidate> Neighbours(const Candidate& candidate) = 0;  // one gene changed
};

// How a trial ended: the objective to minimise; nullopt: it has none, and what was reported before
// it ended is all that is known of it.
using Outcome = std::optional<double>;

class Proposer {
 public:
  virtual ~Proposer() = default;
  // The candidate of a new trial, which is pending until told. Never one already asked or restored
  // in this study unless the sub-space is exhausted: then nullopt.
  virtual std::optional<Candidate> Ask(int64_t trial) = 0;
  // NaN and infinite values count as none.
  virtual void Tell(int64_t trial, const Outcome& outcome) = 0;
  // The objective of a pending trial after `step` units of training (epochs), ascending.
  virtual void Report(int64_t trial, int step, double value) = 0;
  // A trial from the store, an earlier study or the user's queue: pending until told. A study's
  // calls, repeated in their order with Restore() instead of Ask(), lead to the same asks again.
  virtual void Restore(int64_t trial, const Candidate& candidate) = 0;
};

// loss = cross_entropy + alpha * latency_ms^beta (GPUNet post). Its second part is known before
// training; models learn the first alone.
struct Objective {
  double alpha = 0.1;
  double beta = 1.0;
  double Known(double latency_us) const;
  double operator()(double cross_entropy, double latency_us) const {
    return cross_entropy + Known(latency_us);
  }
};

// What is looked for: the least objective, or the front of those candidates that none beats in both
// objective and latency.
enum class Goal { kLeast, kFront };

struct ProposerOptions {
  std::vector<Dimension> dimensions;
  uint64_t seed = 1;
  Goal goal = Goal::kLeast;
  Objective objective = {.alpha = 0};  // of what Tell() and Report() bring
  int initial = 8;                     // bayes: first trials, before the model is used
  int draws = 500;        // bayes: acquisition is maximised over this many draws plus local moves,
  int most_draws = 1500;  // and over up to this many as long as observations are few
};

// A name of ProposerNames(); throws kInput with the nearest otherwise. `source` must outlive the
// proposer.
std::unique_ptr<Proposer> MakeProposer(const std::string& name, CandidateSource& source,
                                       const ProposerOptions& options);
std::vector<std::string> ProposerNames();

// Indices of the points that no other point equals in one and beats in the other, or beats in both
// (minimise `cost`, maximise `value`), by ascending cost. Points with a NaN are left out.
std::vector<size_t> ParetoFront(const std::vector<double>& cost, const std::vector<double>& value);

}  // namespace lathe::search
