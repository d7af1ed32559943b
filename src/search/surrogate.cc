#include "search/surrogate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "search/acquisition.h"
#include "search/gp_fit.h"
#include "search/prior.h"

namespace lathe::search {
namespace {

constexpr int kFantasies = 16;
// Up to so many trials the model is exact; beyond, the pending, the best and random others of them
// are its inducing points.
constexpr size_t kMostInducing = 256, kInducingPending = 64, kInducingBest = 96;

// By how much the logarithm of the evidence must grow for each kind but the first if genes of
// several kinds are to share what is learned: what one more variance could gain by chance. Where
// all genes are of one kind, as the operations of a cell, they always do.
constexpr double kDoubtOfAKind = 0.5;

double Quantile(std::vector<double> values, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<size_t>(rank)];
}

std::vector<double> WithoutKnown(const Beliefs& beliefs, const Meaning& meaning) {
  std::vector<double> values;
  for (size_t i = 0; i < beliefs.size(); ++i) {
    values.push_back(beliefs.values[i] -
                     meaning.objective.Known(beliefs.candidates[i]->latency_us));
  }
  return values;
}

}  // namespace

Targets StandardiseTargets(const std::vector<double>& values, bool press) {
  const auto count = static_cast<Eigen::Index>(values.size());
  Targets targets{.values = Eigen::Map<const Eigen::VectorXd>(values.data(), count),
                  .slopes = Eigen::VectorXd::Ones(count)};
  const double upper = Quantile(values, 0.75);
  const double range = upper - Quantile(values, 0.25);
  const double fence = upper + 3 * range;  // Tukey's outer one
  // The worse half is pressed together, so that the model spends its freedom on the better one.
  const double middle = Quantile(values, 0.5);
  const double spread = middle - Quantile(values, 0.1);
  for (Eigen::Index i = 0; i < count; ++i) {
    double& target = targets.values[i];
    if (range > 0) target = std::min(target, fence);
    if (press && spread > 0 && target > middle) {
      targets.slopes[i] = 1 / (1 + (target - middle) / spread);
      target = middle + spread * std::log1p((target - middle) / spread);
    }
  }
  targets.values.array() -= targets.values.mean();
  const double deviation = std::sqrt(targets.values.squaredNorm() / static_cast<double>(count));
  if (deviation > 1e-12 * std::max(1.0, std::abs(upper))) targets.scale = deviation;
  targets.values /= targets.scale;
  targets.slopes /= targets.scale;
  return targets;
}

Fit LearnFit(InputMap map, const Beliefs& beliefs, size_t count, const Meaning& meaning,
             size_t max_points, Random random) {
  std::vector<size_t> chosen(count);
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  if (chosen.size() > max_points) {
    random.Shuffle(std::span(chosen));
    chosen.resize(max_points);
  }
  std::vector<double> values = WithoutKnown(beliefs, meaning);
  values.resize(count);
  const Targets all = StandardiseTargets(values, meaning.goal == Goal::kLeast);
  std::vector<const Candidate*> candidates;
  Eigen::VectorXd targets(static_cast<Eigen::Index>(chosen.size()));
  for (size_t i = 0; i < chosen.size(); ++i) {
    candidates.push_back(beliefs.candidates[chosen[i]]);
    targets[static_cast<Eigen::Index>(i)] = all.values[static_cast<Eigen::Index>(chosen[i])];
  }
  map.SetScale(candidates);
  GpFit fit = FitHyperparameters(map.Inputs(candidates), targets, PriorFor(map));
  if (map.kinds() > 1) {
    InputMap simple = map;
    simple.DropKinds();
    GpFit without = FitHyperparameters(simple.Inputs(candidates), targets, PriorFor(simple));
    if (without.loss < fit.loss + kDoubtOfAKind * (map.kinds() - 1)) {
      fit = std::move(without);
      map = std::move(simple);
    }
  }
  return {.map = std::move(map), .hyperparameters = std::move(fit.hyperparameters)};
}

Surrogate::Surrogate(const Fit& fit, const Beliefs& beliefs, const Meaning& meaning, Random random)
    : fit_(fit), meaning_(meaning) {
  const Targets targets =
      StandardiseTargets(WithoutKnown(beliefs, meaning), meaning.goal == Goal::kLeast);
  scale_ = targets.scale;
  std::vector<const Candidate*> all = beliefs.candidates;
  all.insert(all.end(), beliefs.pending.begin(), beliefs.pending.end());
  const GpInputs inputs = fit.map.Inputs(all);
  process_.emplace(Inducing(inputs, beliefs, random), fit.hyperparameters);
  const GaussianProcess::Features features = process_->FeaturesOf(inputs.rows);
  const auto known = static_cast<Eigen::Index>(beliefs.size());
  const auto pending = static_cast<Eigen::Index>(beliefs.pending.size());
  Eigen::VectorXd noise = features.residual.array() + process_->noise();
  noise.head(known).array() += Eigen::Map<const Eigen::ArrayXd>(beliefs.variances.data(), known) *
                               targets.slopes.array().square();
  const Eigen::VectorXd precisions = noise.cwiseInverse();

  Eigen::MatrixXd information = Eigen::MatrixXd::Zero(process_->size(), process_->size());
  AddInformation(features.values.leftCols(known), precisions.head(known), information);
  const Eigen::MatrixXd moment =
      features.values.leftCols(known) * precisions.head(known).cwiseProduct(targets.values);
  WeightPosterior posterior(information, moment);
  if (pending > 0) {
    const auto asked = features.values.rightCols(pending);
    const auto normal = [&random](Eigen::Index rows) {
      Eigen::MatrixXd numbers(rows, kFantasies);
      for (double& number : numbers.reshaped()) number = random.Normal();
      return numbers;
    };
    const Eigen::MatrixXd weights = posterior.Sample(normal(process_->size()));
    Eigen::MatrixXd outcomes = Multiply(asked, weights, {.transpose_a = true});
    outcomes.array() += normal(pending).array().colwise() * noise.tail(pending).array().sqrt();
    AddInformation(asked, precisions.tail(pending), information);
    Eigen::MatrixXd moments = moment.replicate(1, kFantasies);
    outcomes.array().colwise() *= precisions.tail(pending).array();
    MultiplyInto(asked, outcomes, {.add = true}, moments);
    posterior = WeightPosterior(information, moments);
  }
  predictor_.emplace(*process_, posterior);
  SetIncumbents(all, Multiply(posterior.mean(), features.values, {.transpose_a = true}));
}

GpInputs Surrogate::Inducing(const GpInputs& all, const Beliefs& beliefs, Random& random) const {
  const auto count = static_cast<size_t>(all.rows.rows());
  if (count <= kMostInducing) return all;
  std::vector<size_t> order(beliefs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  random.Shuffle(std::span(order));
  const size_t best = std::min(kInducingBest, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(best), order.end(),
                    [&](size_t a, size_t b) {
                      return std::pair(beliefs.values[a], a) < std::pair(beliefs.values[b], b);
                    });
  random.Shuffle(std::span(order).subspan(best));
  std::vector<size_t> pending(beliefs.pending.size());
  std::iota(pending.begin(), pending.end(), beliefs.size());
  random.Shuffle(std::span(pending));
  std::vector<size_t> chosen(
      pending.begin(),
      pending.begin() + static_cast<std::ptrdiff_t>(std::min(kInducingPending, pending.size())));
  for (size_t i = 0; i < order.size() && chosen.size() < kMostInducing; ++i) {
    chosen.push_back(order[i]);
  }
  for (size_t i = kInducingPending; i < pending.size() && chosen.size() < kMostInducing; ++i) {
    chosen.push_back(pending[i]);
  }
  GpInputs inducing{
      .rows = Eigen::MatrixXd(static_cast<Eigen::Index>(chosen.size()), all.rows.cols()),
      .groups = all.groups,
      .additive_groups = all.additive_groups};
  for (size_t i = 0; i < chosen.size(); ++i) {
    inducing.rows.row(static_cast<Eigen::Index>(i)) =
        all.rows.row(static_cast<Eigen::Index>(chosen[i]));
  }
  return inducing;
}

Eigen::MatrixXd Surrogate::PointsOf(const std::vector<Candidate>& candidates) const {
  return fit_.map.Inputs(PointersTo(candidates)).rows;
}

double Surrogate::KnownPart(const Candidate& candidate) const {
  return meaning_.objective.Known(candidate.latency_us) / scale_;
}

// `means`: fantasies x trials.
void Surrogate::SetIncumbents(const std::vector<const Candidate*>& trials,
                              const Eigen::MatrixXd& means) {
  if (meaning_.goal == Goal::kLeast) {
    Eigen::RowVectorXd known(means.cols());
    for (size_t i = 0; i < trials.size(); ++i) {
      known[static_cast<Eigen::Index>(i)] = KnownPart(*trials[i]);
    }
    best_ = (means.rowwise() + known).rowwise().minCoeff();
    return;
  }
  double slowest = 0;
  for (const Candidate* candidate : trials) slowest = std::max(slowest, candidate->latency_us);
  for (Eigen::Index f = 0; f < means.rows(); ++f) {
    std::vector<Staircase::Point> points;
    for (size_t i = 0; i < trials.size(); ++i) {
      points.push_back({trials[i]->latency_us, means(f, static_cast<Eigen::Index>(i))});
    }
    fronts_.emplace_back(points, Staircase::Point{1.1 * slowest, means.row(f).maxCoeff()});
  }
}

Pool::Pool(const Surrogate& surrogate)
    : surrogate_(surrogate), best_(surrogate.best_), fronts_(surrogate.fronts_) {}

size_t Pool::Add(std::vector<Candidate> candidates) {
  const auto begin = static_cast<Eigen::Index>(candidates_.size());
  const auto added = static_cast<Eigen::Index>(candidates.size());
  const Surrogate& s = surrogate_;
  const Predictor::Prediction prediction = s.predictor_->At(s.PointsOf(candidates));

  const Eigen::Index total = begin + added;
  if (total > variance_.size()) {  // room for more than asked for, so that adding stays cheap
    const Eigen::Index room = std::max(total, 2 * variance_.size());
    mean_.conservativeResize(prediction.means.rows(), room);
    variance_.conservativeResize(room);
    known_.conservativeResize(room);
  }
  mean_.middleCols(begin, added) = prediction.means;
  variance_.segment(begin, added) = prediction.variances;
  for (Candidate& candidate : candidates) {
    const auto i = static_cast<Eigen::Index>(candidates_.size());
    known_[i] = s.KnownPart(candidate);
    candidates_.push_back(std::move(candidate));
    scored_after_.push_back(0);
    scores_.push_back(Score(i));
  }
  return static_cast<size_t>(begin);
}

void Pool::Keep(const std::vector<size_t>& indices) {
  mean_ = mean_(Eigen::all, indices).eval();
  variance_ = variance_(indices).eval();
  known_ = known_(indices).eval();
  std::vector<Candidate> candidates;
  std::vector<double> scores;
  for (const size_t index : indices) {
    candidates.push_back(std::move(candidates_[index]));
    scores.push_back(scores_[index]);
  }
  candidates_ = std::move(candidates);
  scores_ = std::move(scores);
  scored_after_.assign(indices.size(), 0);
}

double Pool::Deviation(size_t index) const {
  return std::sqrt(std::max(0.0, variance_[static_cast<Eigen::Index>(index)]));
}

double Pool::Score(Eigen::Index i) const {
  const auto index = static_cast<size_t>(i);
  const double deviation = Deviation(index);
  double logs[kFantasies];
  const Eigen::Index fantasies = mean_.rows();
  for (Eigen::Index f = 0; f < fantasies; ++f) {
    logs[f] = surrogate_.meaning_.goal == Goal::kLeast
                  ? LogExpectedImprovement(mean_(f, i) + known_[i], deviation, best_[f])
                  : fronts_[static_cast<size_t>(f)].LogExpectedImprovement(
                        candidates_[index].latency_us, mean_(f, i), deviation);
  }
  return LogSumExp(std::span(logs, static_cast<size_t>(fantasies)));
}

// A selection lowers scores, hardly ever raises one: what is below the top as it was stays there.
std::optional<size_t> Pool::Top() {
  while (true) {
    const auto top = std::ranges::max_element(scores_);
    if (top == scores_.end() || *top == -std::numeric_limits<double>::infinity()) return {};
    const auto index = static_cast<size_t>(top - scores_.begin());
    if (scored_after_[index] == selected_.size()) return index;
    scores_[index] = Score(static_cast<Eigen::Index>(index));
    scored_after_[index] = selected_.size();
  }
}

void Pool::Select(size_t index, Random& random) {
  const auto chosen = static_cast<Eigen::Index>(index);
  const auto count = static_cast<Eigen::Index>(candidates_.size());
  if (selected_.empty()) {
    points_ = surrogate_.PointsOf(candidates_);
    explained_ = surrogate_.predictor_->Explained(points_);
  }
  const double variance = variance_[chosen] + surrogate_.process_->noise();
  // Posterior covariances with the chosen one, less what earlier selections explain of them.
  Eigen::MatrixXd covariance = surrogate_.process_->PriorCovariance(points_.row(chosen), points_);
  MultiplyInto(explained_.col(chosen), explained_, {.transpose_a = true, .alpha = -1, .add = true},
               covariance);
  for (const Eigen::RowVectorXd& selected : selected_) {
    covariance -= selected[chosen] * selected;
  }
  for (Eigen::Index f = 0; f < mean_.rows(); ++f) {
    const double surprise = std::sqrt(variance) * random.Normal();
    mean_.row(f).head(count) += covariance * (surprise / variance);
    const double value = mean_(f, chosen);
    if (surrogate_.meaning_.goal == Goal::kLeast) {
      best_[f] = std::min(best_[f], value + known_[chosen]);
    } else {
      fronts_[static_cast<size_t>(f)].Add({candidates_[index].latency_us, value});
    }
  }
  variance_.head(count) -= (covariance.array().square() / variance).matrix().transpose();
  selected_.emplace_back(covariance / std::sqrt(variance));
  scores_[index] = -std::numeric_limits<double>::infinity();
}

}  // namespace lathe::search
