#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "search/history.h"
#include "search/proposers.h"
#include "search/surrogate.h"

namespace lathe::search {
namespace {

constexpr size_t kMinObservations = 3;  // for a model at all
constexpr size_t kFitPoints = 192;  // hyperparameters need no more: the cost grows with the cube
constexpr int kInitialDraws = 256;
constexpr size_t kClimbs = 3;  // from the best draws, and as many from the best observations
constexpr int kClimbSteps = 5;
constexpr double kDrawWork = 3e8;  // of scoring more than `draws`: draws x observations^2

struct Scored {
  std::optional<Candidate> candidate;
  double score = -std::numeric_limits<double>::infinity();
};

class BayesProposer : public Proposer {
 public:
  BayesProposer(CandidateSource& source, const ProposerOptions& options)
      : source_(source), options_(options) {}

  std::optional<Candidate> Ask(int64_t trial) override {
    const auto stream = [&](const char* name) {
      return Random(SubSeed(options_.seed, name, static_cast<uint64_t>(trial)));
    };
    Random random = stream("ask");
    const Observations observations = Observed();
    const bool initial =
        history_.entries().size() < static_cast<size_t>(std::max(0, options_.initial));
    std::optional<Candidate> candidate =
        initial || observations.values.size() < kMinObservations
            ? SpaceFilling(random)
            : MostPromising(observations, random, stream("fantasy"));
    if (!candidate) candidate = DrawUnknown(source_, history_, random);
    if (candidate) history_.Add(trial, *candidate);
    return candidate;
  }
  void Tell(int64_t trial, const Outcome& outcome) override { history_.Tell(trial, outcome); }
  void Restore(int64_t trial, const Candidate& candidate) override {
    history_.Add(trial, candidate);
  }

 private:
  Observations Observed() const {
    Observations observations;
    for (const auto& [trial, entry] : history_.entries()) {
      if (!entry.outcome) continue;
      observations.candidates.push_back(&entry.candidate);
      observations.values.push_back(*entry.outcome);
    }
    return observations;
  }

  // The draw that is farthest from everything asked so far.
  std::optional<Candidate> SpaceFilling(Random& random) {
    std::vector<Candidate> draws =
        DrawDistinct(source_, history_, std::min(kInitialDraws, options_.draws), random);
    if (draws.empty()) return std::nullopt;
    std::vector<const Candidate*> all, known;
    for (const Candidate& draw : draws) all.push_back(&draw);
    for (const auto& [trial, entry] : history_.entries()) known.push_back(&entry.candidate);
    if (known.empty()) return std::move(draws.front());
    InputMap map(options_.dimensions, draws.front().features.size());
    map.SetScale(all);
    const GpInputs inputs = map.Inputs(all);
    const auto columns = std::ssize(inputs.groups);
    const Eigen::MatrixXd points = inputs.rows.leftCols(columns),
                          others = map.Inputs(known).rows.leftCols(columns);
    Eigen::Index best = 0;
    double best_distance = -1;
    for (Eigen::Index i = 0; i < points.rows(); ++i) {
      const double distance = (others.rowwise() - points.row(i)).rowwise().squaredNorm().minCoeff();
      if (distance > best_distance) {
        best_distance = distance;
        best = i;
      }
    }
    return std::move(draws[static_cast<size_t>(best)]);
  }

  // The fit over the first observations by trial number, renewed each time there are 15 % more: a
  // function of what was told alone, not of when it was asked for.
  const Fit& FitFor(const Observations& observations) {
    size_t count = kMinObservations;
    for (size_t next = count; next <= observations.values.size();
         next = std::max(next + 1, next * 23 / 20)) {
      count = next;
    }
    Observations first = observations;
    first.candidates.resize(count);
    first.values.resize(count);
    if (!fit_ || fit_candidates_ != first.candidates) {
      fit_ = LearnFit(InputMap(options_.dimensions, first.candidates.front()->features.size()),
                      first, kFitPoints, Random(SubSeed(options_.seed, "fit", count)));
      fit_candidates_ = first.candidates;
    }
    return *fit_;
  }

  std::optional<Candidate> MostPromising(const Observations& observations, Random& random,
                                         Random fantasies) {
    std::vector<const Candidate*> pending;
    for (const auto& [trial, entry] : history_.entries()) {
      if (!entry.told) pending.push_back(&entry.candidate);
    }
    const Surrogate surrogate(FitFor(observations), observations, pending, fantasies);

    const auto points = static_cast<double>(observations.values.size() + pending.size());
    const int count =
        static_cast<int>(std::clamp<double>(kDrawWork / (points * points), options_.draws,
                                            std::max(options_.draws, options_.most_draws)));
    const std::vector<Candidate> draws = DrawDistinct(source_, history_, count, random);
    const std::vector<double> scores = surrogate.Score(draws);
    std::vector<Scored> starts = Best(draws, scores);
    Scored best = starts.empty() ? Scored{} : starts.front();

    std::vector<Candidate> observed;
    std::vector<double> goodness;
    for (size_t i = 0; i < observations.values.size(); ++i) {
      observed.push_back(*observations.candidates[i]);
      goodness.push_back(-observations.values[i]);
    }
    for (Scored& start : Best(observed, goodness)) {
      starts.push_back(
          {.candidate = std::move(start.candidate)});  // known already: any neighbour is better
    }
    std::set<std::vector<int>> scored;
    for (Scored& start : starts) {
      Scored top = Climb(surrogate, std::move(start), scored);
      if (top.score > best.score) best = std::move(top);
    }
    return best.candidate;
  }

  // The kClimbs highest of them, best first.
  static std::vector<Scored> Best(const std::vector<Candidate>& candidates,
                                  const std::vector<double>& scores) {
    std::vector<size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(kClimbs, order.size()));
    std::partial_sort(order.begin(), end, order.end(), [&](size_t a, size_t b) {
      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    std::vector<Scored> best;
    for (auto i = order.begin(); i != end; ++i) best.push_back({candidates[*i], scores[*i]});
    return best;
  }

  // Steepest ascent over single gene changes. `scored` keeps climbs from scoring the same
  // candidates again.
  Scored Climb(const Surrogate& surrogate, Scored at, std::set<std::vector<int>>& scored) {
    for (int step = 0; step < kClimbSteps; ++step) {
      std::vector<Candidate> neighbours;
      for (Candidate& neighbour : source_.Neighbours(*at.candidate)) {
        if (!history_.Knows(neighbour) && scored.insert(neighbour.encoding).second) {
          neighbours.push_back(std::move(neighbour));
        }
      }
      const std::vector<double> scores = surrogate.Score(neighbours);
      const auto top = std::max_element(scores.begin(), scores.end());
      if (top == scores.end() || *top <= at.score) break;
      at = {std::move(neighbours[static_cast<size_t>(top - scores.begin())]), *top};
    }
    return at;
  }

  CandidateSource& source_;
  const ProposerOptions options_;
  History history_;
  std::optional<Fit> fit_;
  std::vector<const Candidate*> fit_candidates_;  // point into history_
};

}  // namespace

std::unique_ptr<Proposer> MakeBayesProposer(CandidateSource& source,
                                            const ProposerOptions& options) {
  return std::make_unique<BayesProposer>(source, options);
}

}  // namespace lathe::search
