// What a proposer was asked and told, by trial number: the order of calls leaves no trace, so that
// a history restored from the store proposes the same as the one that lived through it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/random.h"
#include "search/proposer.h"

namespace lathe::search {

class History {
 public:
  struct Entry {
    Candidate candidate;
    bool told = false;
    Outcome outcome;  // finite
  };

  // Throw kInternal: a trial twice, or one nobody knows.
  void Add(int64_t trial, const Candidate& candidate);
  void Tell(int64_t trial, const Outcome& outcome);

  bool Knows(const Candidate& candidate) const { return known_.contains(candidate.encoding); }
  bool Has(int64_t trial) const { return entries_.contains(trial); }
  const std::map<int64_t, Entry>& entries() const { return entries_; }

 private:
  std::map<int64_t, Entry> entries_;
  std::set<std::vector<int>> known_;
};

// A draw nobody asked for yet; if many draws in a row are known, a neighbour of a known one;
// nullopt: none left.
std::optional<Candidate> DrawUnknown(CandidateSource& source, const History& history,
                                     Random& random);

// Up to `count` distinct draws nobody asked for yet, in the order drawn.
std::vector<Candidate> DrawDistinct(CandidateSource& source, const History& history, int count,
                                    Random& random);

}  // namespace lathe::search
