#include "search/history.h"

#include <cmath>

#include "base/error.h"

namespace lathe::search {

void History::Add(int64_t trial, const Candidate& candidate) {
  if (!entries_.emplace(trial, Entry{candidate, false, {}}).second) {
    throw Error(ErrorKind::kInternal, "trial {} was proposed or restored twice", trial);
  }
  known_.insert(candidate.encoding);
}

void History::Tell(int64_t trial, const Outcome& outcome) {
  const auto found = entries_.find(trial);
  if (found == entries_.end()) {
    throw Error(ErrorKind::kInternal, "told the outcome of trial {}, which was never proposed",
                trial);
  }
  if (found->second.told) {
    throw Error(ErrorKind::kInternal, "told the outcome of trial {} twice", trial);
  }
  found->second.told = true;
  if (outcome && std::isfinite(*outcome)) found->second.outcome = outcome;
}

std::vector<Candidate> DrawDistinct(CandidateSource& source, const History& history, int count,
                                    Random& random) {
  std::vector<Candidate> distinct;
  std::set<std::vector<int>> seen;
  for (Candidate& candidate : source.Draw(count, random)) {
    if (!history.Knows(candidate) && seen.insert(candidate.encoding).second) {
      distinct.push_back(std::move(candidate));
    }
  }
  return distinct;
}

std::optional<Candidate> DrawUnknown(CandidateSource& source, const History& history,
                                     Random& random) {
  for (int count = 8; count <= 4096; count *= 8) {
    std::vector<Candidate> unknown = DrawDistinct(source, history, count, random);
    if (!unknown.empty()) return std::move(unknown.front());
  }
  for (const auto& [trial, entry] : history.entries()) {
    for (Candidate& neighbour : source.Neighbours(entry.candidate)) {
      if (!history.Knows(neighbour)) return std::move(neighbour);
    }
  }
  return std::nullopt;
}

}  // namespace lathe::search
