#include "search/surrogate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "search/acquisition.h"
#include "search/gp_fit.h"

namespace lathe::search {
namespace {

constexpr int kFantasies = 8;

// Length scales that grow with the square root of the number of inputs (Hvarfner et al. 2024,
// "Vanilla Bayesian Optimization Performs Great in High Dimensions"). Genes and features count
// apart, so that the few features matter more at first.
GpPrior PriorFor(const InputMap& map) {
  const int genes = map.gene_groups(), features = map.feature_groups();
  const int groups = genes + features;
  GpPrior prior{.mean = Eigen::VectorXd(2 * groups + 2),
                .deviation = Eigen::VectorXd::Constant(2 * groups + 2, std::sqrt(3.0))};
  const auto log_length = [](int count) {
    return std::sqrt(2.0) + 0.5 * std::log(std::max(1, count));
  };
  prior.mean.head(genes).setConstant(log_length(genes));
  prior.mean.segment(genes, features).setConstant(log_length(features));
  prior.mean.segment(groups, 2) << 0.0, -4.0;
  prior.deviation.segment(groups, 2) << 1.0, 1.0;
  // The additive parts together vary about as much as the targets.
  prior.mean.tail(groups).setConstant(-std::log(std::max(1, groups)));
  prior.deviation.tail(groups).setConstant(1.5);
  return prior;
}

double Quantile(std::vector<double> values, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<size_t>(rank)];
}

}  // namespace

Eigen::VectorXd StandardiseTargets(const std::vector<double>& values) {
  Eigen::VectorXd targets =
      Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Eigen::Index>(values.size()));
  const double upper = Quantile(values, 0.75);
  const double range = upper - Quantile(values, 0.25);
  if (range > 0) targets = targets.cwiseMin(upper + 3 * range);  // Tukey's outer fence
  // The worse half is pressed together, so that the model spends its freedom on the better one.
  const double middle = Quantile(values, 0.5);
  const double spread = middle - Quantile(values, 0.1);
  if (spread > 0) {
    for (double& target : targets) {
      if (target > middle) target = middle + spread * std::log1p((target - middle) / spread);
    }
  }
  targets.array() -= targets.mean();
  const double deviation = std::sqrt(targets.squaredNorm() / static_cast<double>(targets.size()));
  if (deviation > 1e-12 * std::max(1.0, std::abs(upper))) targets /= deviation;
  return targets;
}

Fit LearnFit(InputMap map, const Observations& observations, size_t max_points, Random random) {
  std::vector<size_t> chosen(observations.candidates.size());
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  if (chosen.size() > max_points) {
    random.Shuffle(std::span(chosen));
    chosen.resize(max_points);
  }
  const Eigen::VectorXd all_targets = StandardiseTargets(observations.values);
  std::vector<const Candidate*> candidates;
  Eigen::VectorXd targets(static_cast<Eigen::Index>(chosen.size()));
  for (size_t i = 0; i < chosen.size(); ++i) {
    candidates.push_back(observations.candidates[chosen[i]]);
    targets[static_cast<Eigen::Index>(i)] = all_targets[static_cast<Eigen::Index>(chosen[i])];
  }
  map.SetScale(candidates);
  const GpInputs inputs = map.Inputs(candidates);
  GpHyperparameters hyperparameters = FitHyperparameters(inputs, targets, PriorFor(map));
  return {.map = std::move(map), .hyperparameters = std::move(hyperparameters)};
}

Surrogate::Surrogate(const Fit& fit, const Observations& observations,
                     const std::vector<const Candidate*>& pending, Random random)
    : fit_(fit) {
  const Eigen::VectorXd targets = StandardiseTargets(observations.values);
  GpInputs inputs = fit.map.Inputs(observations.candidates);
  process_.emplace(inputs, targets, fit.hyperparameters);
  if (!pending.empty()) {
    const Eigen::MatrixXd points = fit.map.Inputs(pending).rows;
    Eigen::MatrixXd covariance = process_->Covariance(points);
    covariance.diagonal().array() += std::exp(fit.hyperparameters.log_noise);
    Eigen::MatrixXd normal(points.rows(), kFantasies);
    for (double& value : normal.reshaped()) value = random.Normal();
    const Eigen::MatrixXd outcomes =
        (StableCholesky(covariance) * normal).colwise() + process_->Predict(points).mean.col(0);

    Eigen::MatrixXd joint_rows(inputs.rows.rows() + points.rows(), points.cols());
    joint_rows << inputs.rows, points;
    Eigen::MatrixXd joint_targets(joint_rows.rows(), kFantasies);
    joint_targets << targets.replicate(1, kFantasies), outcomes;
    inputs.rows = std::move(joint_rows);
    process_.emplace(inputs, joint_targets, fit.hyperparameters);
  }
  best_ = process_->MeanAtInputs().colwise().minCoeff();
}

std::vector<double> Surrogate::Score(const std::vector<Candidate>& candidates) const {
  std::vector<const Candidate*> pointers;
  for (const Candidate& candidate : candidates) pointers.push_back(&candidate);
  const GaussianProcess::Posterior posterior = process_->Predict(fit_.map.Inputs(pointers).rows);
  std::vector<double> scores;
  for (Eigen::Index i = 0; i < posterior.variance.size(); ++i) {
    const double deviation = std::sqrt(posterior.variance[i]);
    Eigen::ArrayXd logs(best_.size());
    for (Eigen::Index f = 0; f < best_.size(); ++f) {
      logs[f] = LogExpectedImprovement(posterior.mean(i, f), deviation, best_[f]);
    }
    const double largest = logs.maxCoeff();
    scores.push_back(std::isfinite(largest) ? largest + std::log((logs - largest).exp().mean())
                                            : largest);
  }
  return scores;
}

}  // namespace lathe::search
