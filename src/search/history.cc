#include "search/history.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace lathe::search {

void History::Add(int64_t trial, const Candidate& candidate) {
  const auto [entry, added] = entries_.emplace(trial, Entry{.candidate = candidate, .asked = now_});
  if (!added) {
    throw Error(ErrorKind::kInternal, "trial {} was proposed or restored twice", trial);
  }
  known_.emplace(candidate.encoding, now_);
  telling_ = false;
  if (vacant_ > 0) --vacant_;
  ++now_;
}

History::Entry& History::Find(int64_t trial, const char* what) {
  const auto found = entries_.find(trial);
  if (found == entries_.end()) {
    throw Error(ErrorKind::kInternal, "told the {} of trial {}, which was never proposed", what,
                trial);
  }
  if (found->second.told != kNever) {
    throw Error(ErrorKind::kInternal, "told the {} of trial {} after its end", what, trial);
  }
  return found->second;
}

void History::Tell(int64_t trial, const Outcome& outcome) {
  Entry& entry = Find(trial, "outcome");
  entry.told = now_++;
  ++told_;
  if (!std::exchange(telling_, true)) vacant_ = 0;
  ++vacant_;
  if (!outcome || !std::isfinite(*outcome)) return;
  entry.outcome = outcome;
  complete_.push_back(&entry);
}

void History::Report(int64_t trial, int step, double value) {
  Entry& entry = Find(trial, "progress");
  const Moment at = now_++;
  if (std::isfinite(value)) entry.reports.push_back({.at = at, .step = step, .value = value});
}

bool History::Knows(const Candidate& candidate, Moment as_of) const {
  const auto found = known_.find(candidate.encoding);
  return found != known_.end() && found->second < as_of;
}

size_t History::Asked(Moment as_of) const {
  return static_cast<size_t>(std::ranges::count_if(
      entries_, [&](const auto& entry) { return entry.second.asked < as_of; }));
}

std::vector<Candidate> DrawDistinct(CandidateSource& source, const History& history, int count,
                                    Random& random, Moment as_of) {
  std::vector<Candidate> distinct;
  std::set<std::vector<int>> seen;
  for (Candidate& candidate : source.Draw(count, random)) {
    if (!history.Knows(candidate, as_of) && seen.insert(candidate.encoding).second) {
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
