// What a proposer was asked and told, in order. Every call is one moment, so that the state of any
// earlier moment can be looked at again. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/random.h"
#include "search/proposer.h"

namespace lathe::search {

// The number of calls made before.
using Moment = uint64_t;

class History {
 public:
  struct Progress {
    Moment at;
    int step;
    double value;  // finite
  };
  struct Entry {
    Candidate candidate;
    Moment asked = 0, told = kNever;
    Outcome outcome;  // finite
    std::vector<Progress> reports;
  };
  static constexpr Moment kNever = ~Moment{0};

  // Throw kInternal: a trial twice, or one nobody knows.
  void Add(int64_t trial, const Candidate& candidate);
  void Tell(int64_t trial, const Outcome& outcome);
  void Report(int64_t trial, int step, double value);

  bool Knows(const Candidate& candidate, Moment as_of = kNever) const;
  size_t Asked(Moment as_of) const;  // how many trials
  const std::map<int64_t, Entry>& entries() const { return entries_; }
  size_t running() const { return entries_.size() - told_; }  // trials asked, not yet told
  // Trials told in a row just now, less those asked since: each has left a place to be filled.
  size_t vacant() const { return vacant_; }
  Moment now() const { return now_; }

  // Complete trials in the order told; the first n of them stay the same for good.
  const std::vector<const Entry*>& complete() const { return complete_; }

 private:
  Entry& Find(int64_t trial, const char* what);

  std::map<int64_t, Entry> entries_;
  std::vector<const Entry*> complete_;        // in the order told
  std::map<std::vector<int>, Moment> known_;  // since when
  size_t told_ = 0;
  size_t vacant_ = 0;
  bool telling_ = false;  // the last to come or go was told
  Moment now_ = 0;
};

// A draw nobody asked for yet; if many draws in a row are known, a neighbour of a known one;
// nullopt: none left.
std::optional<Candidate> DrawUnknown(CandidateSource& source, const History& history,
                                     Random& random);

// Up to `count` distinct draws nobody asked for yet, in the order drawn.
// `as_of` is the moment that "yet" means.
std::vector<Candidate> DrawDistinct(CandidateSource& source, const History& history, int count,
                                    Random& random, Moment as_of = History::kNever);

}  // namespace lathe::search
