#include <algorithm>

#include "search/beliefs.h"
#include "search/history_proposer.h"
#include "search/proposers.h"

namespace lathe::search {
namespace {

constexpr size_t kPopulation = 50, kTournament = 10;
constexpr int kTries = 20;  // of finding a child nobody asked for yet

class EvolutionProposer : public HistoryProposer {
 public:
  using HistoryProposer::HistoryProposer;

 protected:
  std::optional<Candidate> Propose(int64_t, Random& random) override {
    if (history_.entries().size() < kPopulation) return std::nullopt;  // the first generation
    const Beliefs beliefs = BeliefsOf(history_, history_.now());
    if (beliefs.size() == 0) return std::nullopt;  // its results are awaited
    return Child(beliefs, random);
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
};

}  // namespace

std::unique_ptr<Proposer> MakeEvolutionProposer(CandidateSource& source,
                                                const ProposerOptions& options) {
  return std::make_unique<EvolutionProposer>(source, options);
}

}  // namespace lathe::search
