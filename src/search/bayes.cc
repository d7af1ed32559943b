#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <utility>

#include "search/beliefs.h"
#include "search/history_proposer.h"
#include "search/linalg.h"
#include "search/proposers.h"
#include "search/surrogate.h"

namespace lathe::search {
namespace {

constexpr size_t kMinBeliefs = 3;   // for a model at all
constexpr size_t kFitPoints = 192;  // hyperparameters need no more: the cost grows with the cube
constexpr int kInitialDraws = 256;
constexpr size_t kClimbs = 1;        // from the best draws, and as many from the best trials
constexpr size_t kMostScored = 450;  // by a climb, about
constexpr size_t kAllChanges = 128;  // more are not tried in one step
constexpr size_t kSomeChanges = 24, kBestChanges = 18;  // of these the best, others at random
constexpr double kDrawWork = 3e8;  // of scoring more than `draws`: draws x observations^2
constexpr size_t kPendingPerExtraProposal = 16;
constexpr size_t kKeptPerProposal = 32;  // candidates that a batch chooses from, each

// The first gene that differs, and its value.
using Change = std::pair<size_t, int>;

Change ChangeOf(const Candidate& from, const Candidate& to) {
  size_t i = 0;
  while (i < from.encoding.size() && from.encoding[i] == to.encoding[i]) ++i;
  return {i, i < to.encoding.size() ? to.encoding[i] : 0};
}

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
        meaning_{.goal = options.goal, .objective = options.objective} {}

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
      return SpaceFilling(batch);
    }
    const Beliefs beliefs = BeliefsOf(history_, batch.as_of);
    return beliefs.size() < kMinBeliefs ? SpaceFilling(batch) : MostPromising(batch, beliefs);
  }

  // Each the draw that is farthest from everything asked for before.
  std::vector<Candidate> SpaceFilling(const Batch& batch) {
    Random random = Stream("ask", batch.first);
    std::vector<Candidate> draws = DrawDistinct(
        source_, history_, std::min(kInitialDraws, options_.draws), random, batch.as_of);
    if (draws.empty()) return {};
    std::vector<const Candidate*> all, known;
    for (const Candidate& draw : draws) all.push_back(&draw);
    for (const auto& [trial, entry] : history_.entries()) {
      if (entry.asked < batch.as_of) known.push_back(&entry.candidate);
    }
    InputMap map(options_.dimensions, draws.front().features.size());
    map.SetScale(all);
    const GpInputs inputs = map.Inputs(all);
    const auto columns = std::ssize(inputs.groups);
    const Eigen::MatrixXd points = inputs.rows.leftCols(columns);
    Eigen::VectorXd distance =
        known.empty()
            ? Eigen::VectorXd::Constant(points.rows(), 1e300)
            : Eigen::VectorXd(SquaredDistances(points, map.Inputs(known).rows.leftCols(columns))
                                  .rowwise()
                                  .minCoeff());
    std::vector<Candidate> chosen;
    while (chosen.size() < std::min(batch.size, draws.size())) {
      Eigen::Index farthest = 0;
      distance.maxCoeff(&farthest);
      chosen.push_back(draws[static_cast<size_t>(farthest)]);
      distance = distance.cwiseMin(SquaredDistances(points, points.row(farthest)).col(0));
      distance[farthest] = -1;
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
    seen_.clear();
    for (const Candidate& candidate : pool.candidates()) seen_.insert(candidate.encoding);
    std::vector<std::pair<const Candidate, double>> starts;
    for (const size_t i : Best(pool.scores(), kClimbs)) {
      starts.emplace_back(pool.candidates()[i], pool.scores()[i]);
    }
    std::vector<double> goodness;
    for (const double value : beliefs.values) goodness.push_back(-value);
    for (const size_t i : Best(goodness, kClimbs)) {  // known already: any neighbour is better
      starts.emplace_back(*beliefs.candidates[i], -std::numeric_limits<double>::infinity());
    }
    for (const auto& [candidate, score] : starts)
      Climb(pool, candidate, score, batch.as_of, random);

    const size_t kept = batch.size == 1 ? 1 : kKeptPerProposal * batch.size;
    std::vector<Candidate> best;
    for (const size_t i : Best(pool.scores(), kept)) best.push_back(pool.candidates()[i]);
    return batch.size == 1 ? best : OneByOne(surrogate, std::move(best), batch.size, random);
  }

  // Each as if those before it were running.
  static std::vector<Candidate> OneByOne(const Surrogate& surrogate,
                                         std::vector<Candidate> candidates, size_t count,
                                         Random& random) {
    Pool pool(surrogate);
    pool.Add(std::move(candidates));
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

  // Ascent over single gene changes; all it scores joins the pool. The first step tries all
  // changes, those after it the ones that gained most when they were last tried, and a few others;
  // once they gain nothing, all again.
  void Climb(Pool& pool, Candidate at, double score, Moment as_of, Random& random) {
    std::map<Change, double> gains;
    bool all = true;
    for (size_t scored = 0; scored < kMostScored;) {
      std::vector<Candidate> neighbours = source_.Neighbours(at);
      random.Shuffle(std::span(neighbours));
      if (!all) MostGainingFirst(at, neighbours, gains);
      std::vector<Candidate> tried =
          OnlyNew(std::move(neighbours), all ? kAllChanges : kSomeChanges, as_of);
      if (tried.empty()) break;
      std::vector<Change> changes;
      for (const Candidate& one : tried) changes.push_back(ChangeOf(at, one));
      const size_t begin = pool.Add(std::move(tried));
      const std::span<const double> scores = std::span(pool.scores()).subspan(begin);
      const auto top = static_cast<size_t>(std::ranges::max_element(scores) - scores.begin());
      const double base = std::isfinite(score) ? score : scores[top];
      for (size_t i = 0; i < changes.size(); ++i) gains[changes[i]] = scores[i] - base;
      scored += changes.size();
      if (scores[top] > score) {
        score = scores[top];
        at = pool.candidates()[begin + top];
        all = false;
      } else if (all) {
        break;
      } else {
        all = true;
      }
    }
  }

  // Those with the largest gains, as far as they are known; the others stay as they are.
  static void MostGainingFirst(const Candidate& at, std::vector<Candidate>& neighbours,
                               const std::map<Change, double>& gains) {
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < neighbours.size(); ++i) {
      const auto gain = gains.find(ChangeOf(at, neighbours[i]));
      if (gain != gains.end()) order.emplace_back(-gain->second, i);
    }
    const size_t best = std::min(kBestChanges, order.size());
    std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(best));
    std::vector<Candidate> sorted;
    std::vector<bool> moved(neighbours.size());
    for (size_t i = 0; i < best; ++i) {
      sorted.push_back(std::move(neighbours[order[i].second]));
      moved[order[i].second] = true;
    }
    for (size_t i = 0; i < neighbours.size(); ++i) {
      if (!moved[i]) sorted.push_back(std::move(neighbours[i]));
    }
    neighbours = std::move(sorted);
  }

  // The first `most` that are neither known nor in the pool.
  std::vector<Candidate> OnlyNew(std::vector<Candidate> candidates, size_t most, Moment as_of) {
    std::vector<Candidate> fresh;
    for (Candidate& candidate : candidates) {
      if (fresh.size() == most) break;
      if (!history_.Knows(candidate, as_of) && seen_.insert(candidate.encoding).second) {
        fresh.push_back(std::move(candidate));
      }
    }
    return fresh;
  }

  const Meaning meaning_;
  Batch batch_;
  std::optional<Fit> fit_;
  size_t fit_count_ = 0;  // complete trials it was learned from; 0: it is not to be used again
  std::set<std::vector<int>> seen_;  // in the pool of the batch being made
};

}  // namespace

std::unique_ptr<Proposer> MakeBayesProposer(CandidateSource& source,
                                            const ProposerOptions& options) {
  return std::make_unique<BayesProposer>(source, options);
}

}  // namespace lathe::search
