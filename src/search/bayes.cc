#include <algorithm>
#include <cmath>
#include <numeric>
#include <ranges>
#include <set>

#include "base/memory.h"
#include "search/beliefs.h"
#include "search/climb.h"
#include "search/first_trials.h"
#include "search/history_proposer.h"
#include "search/proposers.h"
#include "search/surrogate.h"

namespace lathe::search {
namespace {

constexpr size_t kMinBeliefs = 3;   // for a model at all
constexpr size_t kFitPoints = 192;  // hyperparameters need no more: the cost grows with the cube
// First trials: so many in a row choose among the same draws, and mind so many before them.
constexpr int64_t kTrialsPerFirstDraws = 64;
constexpr size_t kMostBefore = 256;
constexpr double kDrawWork = 3e8;  // of scoring more than `draws`: draws x observations^2
constexpr size_t kPendingPerExtraProposal = 16;
constexpr size_t kKeptPerProposal = 32;  // candidates that a batch chooses from, each

// Proposals made at one moment. They are worked out for several trials at once when so many are
// running, or about to, that one result more changes little.
struct Batch {
  int64_t first = 0;  // trial
  size_t size = 0;
  Moment as_of = 0;
  bool made = false;
  std::vector<Candidate> proposals;  // fewer when there were no more

  bool Covers(int64_t trial) const {
    return trial >= first && trial - first < static_cast<int64_t>(size);
  }
};

class BayesProposer : public HistoryProposer {
 public:
  BayesProposer(CandidateSource& source, const ProposerOptions& options)
      : HistoryProposer(source, options),
        meaning_{.goal = options.goal, .objective = options.objective} {
    KeepFreedMemory();
  }

  void Restore(int64_t trial, const Candidate& candidate) override {
    StartBatch(trial);  // as the ask did that it stands for
    HistoryProposer::Restore(trial, candidate);
  }

 protected:
  std::optional<Candidate> Propose(int64_t trial, Random&) override {
    StartBatch(trial);
    if (!batch_.made) {
      batch_.proposals = MakeProposals(batch_);
      batch_.made = true;
    }
    const auto place = static_cast<size_t>(trial - batch_.first);
    if (place >= batch_.proposals.size()) return std::nullopt;
    // A network that was added since may be one of them.
    const Candidate& candidate = batch_.proposals[place];
    return history_.Knows(candidate) ? std::nullopt : std::optional(candidate);
  }

 private:
  void StartBatch(int64_t trial) {
    if (batch_.Covers(trial)) return;
    const size_t beside = history_.running() + std::max<size_t>(history_.vacant(), 1) - 1;
    batch_ = {
        .first = trial, .size = 1 + beside / kPendingPerExtraProposal, .as_of = history_.now()};
  }

  std::vector<Candidate> MakeProposals(const Batch& batch) {
    if (history_.Asked(batch.as_of) < static_cast<size_t>(std::max(0, options_.initial))) {
      return FirstTrials(batch);
    }
    const Beliefs beliefs = BeliefsOf(history_, batch.as_of);
    return beliefs.size() < kMinBeliefs ? FirstTrials(batch) : MostPromising(batch, beliefs);
  }

  // Those that ask one after the other choose among the same draws: among new ones each time, all
  // would be extremes.
  std::vector<Candidate> FirstTrials(const Batch& batch) {
    Random random =
        Stream("first", static_cast<int64_t>(history_.Asked(batch.as_of)) / kTrialsPerFirstDraws);
    const std::vector<Candidate> draws =
        DrawDistinct(source_, history_, options_.draws, random, batch.as_of);
    if (draws.empty()) return {};
    std::vector<const Candidate*> known;
    for (const auto& [trial, entry] : std::views::reverse(history_.entries())) {
      if (known.size() == kMostBefore) break;
      if (entry.asked < batch.as_of) known.push_back(&entry.candidate);
    }
    std::vector<Candidate> chosen;
    for (const size_t index :
         LeastCertain(InputMap(options_.dimensions, draws.front().features.size()), known, draws,
                      batch.size)) {
      chosen.push_back(draws[index]);
    }
    return chosen;
  }

  // The fit over the first complete trials, renewed each time there are 15 % more: a function of
  // what was told alone, not of when it was asked for. Before any are complete, a fit each time.
  const Fit& FitFor(const Beliefs& beliefs) {
    size_t count = beliefs.size();
    if (beliefs.complete >= kMinBeliefs) {
      count = kMinBeliefs;
      for (size_t next = count; next <= beliefs.complete;
           next = std::max(next + 1, next * 23 / 20)) {
        count = next;
      }
      if (fit_ && fit_count_ == count) return *fit_;
    }
    fit_ = LearnFit(InputMap(options_.dimensions, beliefs.candidates.front()->features.size()),
                    beliefs, count, meaning_, kFitPoints,
                    Random(SubSeed(options_.seed, "fit", count)));
    fit_count_ = beliefs.complete >= kMinBeliefs ? count : 0;
    return *fit_;
  }

  std::vector<Candidate> MostPromising(const Batch& batch, const Beliefs& beliefs) {
    const Surrogate surrogate(FitFor(beliefs), beliefs, meaning_, Stream("fantasy", batch.first));
    Pool pool(surrogate);
    const auto points = static_cast<double>(beliefs.size() + beliefs.pending.size());
    const int count =
        static_cast<int>(std::clamp<double>(kDrawWork / (points * points), options_.draws,
                                            std::max(options_.draws, options_.most_draws)));
    Random random = Stream("ask", batch.first);
    pool.Add(DrawDistinct(source_, history_, count, random, batch.as_of));
    std::set<std::vector<int>> seen;
    for (const Candidate& candidate : pool.candidates()) seen.insert(candidate.encoding);
    const auto is_new = [&](const Candidate& candidate) {
      return !history_.Knows(candidate, batch.as_of) && seen.insert(candidate.encoding).second;
    };
    const std::vector<size_t> top = Best(pool.scores(), 1);
    if (!top.empty()) {
      Climb(pool, source_, is_new,
            {.candidate = pool.candidates()[top.front()], .score = pool.scores()[top.front()]},
            random);
    }
    const auto best_trial = std::ranges::min_element(beliefs.values) - beliefs.values.begin();
    Climb(pool, source_, is_new,
          {.candidate = *beliefs.candidates[static_cast<size_t>(best_trial)]}, random);

    pool.Keep(Best(pool.scores(), batch.size == 1 ? 1 : kKeptPerProposal * batch.size));
    return batch.size == 1 ? pool.candidates() : OneByOne(pool, batch.size, random);
  }

  // Each as if those before it were running.
  static std::vector<Candidate> OneByOne(Pool& pool, size_t count, Random& random) {
    std::vector<Candidate> chosen;
    while (chosen.size() < count) {
      const std::optional<size_t> top = pool.Top();
      if (!top) break;
      chosen.push_back(pool.candidates()[*top]);
      if (chosen.size() < count) pool.Select(*top, random);
    }
    return chosen;
  }

  // The `count` highest, best first.
  static std::vector<size_t> Best(const std::vector<double>& scores, size_t count) {
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(count, order.size()));
    std::partial_sort(order.begin(), end, order.end(), [&](size_t a, size_t b) {
      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    return {order.begin(), end};
  }

  const Meaning meaning_;
  Batch batch_;
  std::optional<Fit> fit_;
  size_t fit_count_ = 0;  // complete trials it was learned from; 0: it is not to be used again
};

}  // namespace

std::unique_ptr<Proposer> MakeBayesProposer(CandidateSource& source,
                                            const ProposerOptions& options) {
  return std::make_unique<BayesProposer>(source, options);
}

}  // namespace lathe::search
