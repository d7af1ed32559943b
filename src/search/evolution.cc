#include <algorithm>

#include "search/beliefs.h"
#include "search/history.h"
#include "search/proposers.h"

namespace lathe::search {
namespace {

constexpr size_t kPopulation = 50, kTournament = 10;
constexpr int kTries = 20;  // of finding a child nobody asked for yet

class EvolutionProposer : public Proposer {
 public:
  EvolutionProposer(CandidateSource& source, const ProposerOptions& options)
      : source_(source), options_(options) {}

  std::optional<Candidate> Ask(int64_t trial) override {
    Random random(SubSeed(options_.seed, "ask", static_cast<uint64_t>(trial)));
    std::optional<Candidate> candidate;
    const Beliefs beliefs = BeliefsOf(history_, history_.now());
    // The first generation, also while its results are awaited.
    if (history_.entries().size() >= kPopulation && beliefs.size() > 0) {
      candidate = Child(beliefs, random);
    }
    if (!candidate) candidate = DrawUnknown(source_, history_, random);
    if (candidate) history_.Add(trial, *candidate);
    return candidate;
  }
  void Tell(int64_t trial, const Outcome& outcome) override { history_.Tell(trial, outcome); }
  void Report(int64_t trial, int step, double value) override {
    history_.Report(trial, step, value);
  }
  void Restore(int64_t trial, const Candidate& candidate) override {
    history_.Add(trial, candidate);
  }

 private:
  std::optional<Candidate> Child(const Beliefs& beliefs, Random& random) {
    for (int i = 0; i < kTries; ++i) {
      std::vector<Candidate> children = source_.Neighbours(*Parent(beliefs, random));
      std::erase_if(children, [&](const Candidate& child) { return history_.Knows(child); });
      if (!children.empty()) return std::move(children[random.Below(children.size())]);
    }
    return std::nullopt;
  }

  // The winner of a tournament among the youngest.
  const Candidate* Parent(const Beliefs& beliefs, Random& random) const {
    const size_t first = beliefs.size() - std::min(beliefs.size(), kPopulation);
    std::vector<size_t> contestants;
    for (size_t i = 0; i < kTournament; ++i) {
      contestants.push_back(first + random.Below(beliefs.size() - first));
    }
    std::vector<double> latency, goodness;
    for (const size_t i : contestants) {
      latency.push_back(options_.goal == Goal::kFront ? beliefs.candidates[i]->latency_us : 0);
      goodness.push_back(-beliefs.values[i]);
    }
    const std::vector<size_t> front = ParetoFront(latency, goodness);
    return beliefs.candidates[contestants[front[random.Below(front.size())]]];
  }

  CandidateSource& source_;
  const ProposerOptions options_;
  History history_;
};

}  // namespace

std::unique_ptr<Proposer> MakeEvolutionProposer(CandidateSource& source,
                                                const ProposerOptions& options) {
  return std::make_unique<EvolutionProposer>(source, options);
}

}  // namespace lathe::search
