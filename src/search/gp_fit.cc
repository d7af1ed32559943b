#include "search/gp_fit.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "search/lbfgs.h"

namespace lathe::search {
namespace {

int GroupCount(const std::vector<int>& groups) {
  return groups.empty() ? 0 : 1 + *std::max_element(groups.begin(), groups.end());
}

}  // namespace

MarginalLikelihood::MarginalLikelihood(const GpInputs& inputs, const Eigen::VectorXd& targets)
    : targets_(targets),
      additive_(inputs.rows.rightCols(std::ssize(inputs.additive_groups))),
      additive_groups_(inputs.additive_groups) {
  const Eigen::Index n = inputs.rows.rows();
  pair_distances_ = Eigen::MatrixXd::Zero(n * (n - 1) / 2, GroupCount(inputs.groups));
  for (Eigen::Index column = 0; column < std::ssize(inputs.groups); ++column) {
    const auto values = inputs.rows.col(column);
    auto distances = pair_distances_.col(inputs.groups[static_cast<size_t>(column)]);
    Eigen::Index pair = 0;
    for (Eigen::Index j = 0; j + 1 < n; pair += n - 1 - j, ++j) {
      distances.segment(pair, n - 1 - j).array() +=
          (values.tail(n - 1 - j).array() - values[j]).square();
    }
  }
}

double MarginalLikelihood::operator()(const Eigen::VectorXd& packed,
                                      Eigen::VectorXd* gradient) const {
  const GpHyperparameters hyperparameters = GpHyperparameters::Unpack(packed, lengths());
  const double signal = std::exp(hyperparameters.log_signal);
  const double noise = std::exp(hyperparameters.log_noise);
  const Eigen::VectorXd weights = (-2.0 * hyperparameters.log_length.array()).exp();
  const Eigen::VectorXd root =
      (5.0 * (pair_distances_ * weights).array()).sqrt();  // sqrt(5) r per pair
  const Eigen::VectorXd decay = (-root.array()).exp() * signal;

  const Eigen::Index n = targets_.size();
  Eigen::MatrixXd covariance(n, n);  // the lower triangle is used
  covariance.diagonal().setConstant(signal + noise);
  Eigen::Index pair = 0;
  for (Eigen::Index j = 0; j + 1 < n; pair += n - 1 - j, ++j) {
    const auto r = root.segment(pair, n - 1 - j).array();
    covariance.col(j).tail(n - 1 - j) =
        (1.0 + r + r.square() / 3.0) * decay.segment(pair, n - 1 - j).array();
    covariance.row(j).tail(n - 1 - j) = covariance.col(j).tail(n - 1 - j);
  }
  Eigen::MatrixXd parts = additive_;  // columns scaled by the root of their part's variance
  for (Eigen::Index i = 0; i < parts.cols(); ++i) {
    const int group = additive_groups_[static_cast<size_t>(i)];
    parts.col(i) *= std::exp(0.5 * hyperparameters.log_additive[group]);
  }
  const Eigen::MatrixXd matern = covariance;
  if (parts.cols() > 0) covariance.noalias() += parts * parts.transpose();
  const Eigen::MatrixXd cholesky = StableCholesky(covariance);
  const auto lower = cholesky.triangularView<Eigen::Lower>();
  const Eigen::VectorXd alpha =
      cholesky.transpose().triangularView<Eigen::Upper>().solve(lower.solve(targets_));
  const double value = -0.5 * targets_.dot(alpha) - cholesky.diagonal().array().log().sum() -
                       0.5 * static_cast<double>(n) * std::log(2.0 * std::numbers::pi);
  if (gradient == nullptr) return value;

  // d value / d K = (alpha alpha^T - K^-1) / 2; each pair stands for two elements of K.
  Eigen::MatrixXd sensitivity = lower.solve(Eigen::MatrixXd::Identity(n, n));
  sensitivity = alpha * alpha.transpose() - sensitivity.transpose() * sensitivity;
  Eigen::VectorXd by_distance(root.size());  // d value / d r^2, times -2
  double by_signal = 0.5 * signal * sensitivity.trace();
  pair = 0;
  for (Eigen::Index j = 0; j + 1 < n; pair += n - 1 - j, ++j) {
    const auto s = sensitivity.col(j).tail(n - 1 - j).array();
    by_signal += (s * matern.col(j).tail(n - 1 - j).array()).sum();
    by_distance.segment(pair, n - 1 - j) = s * (5.0 / 3.0) *
                                           (1.0 + root.segment(pair, n - 1 - j).array()) *
                                           decay.segment(pair, n - 1 - j).array();
  }
  gradient->resize(packed.size());
  gradient->head(weights.size()) =
      (pair_distances_.transpose() * by_distance).cwiseProduct(weights);
  (*gradient)[weights.size()] = by_signal;
  (*gradient)[weights.size() + 1] = 0.5 * noise * sensitivity.trace();
  gradient->tail(hyperparameters.log_additive.size()).setZero();
  if (parts.cols() > 0) {
    const Eigen::RowVectorXd by_column =
        0.5 * (sensitivity * parts).cwiseProduct(parts).colwise().sum();
    for (Eigen::Index i = 0; i < parts.cols(); ++i) {
      (*gradient)[weights.size() + 2 + additive_groups_[static_cast<size_t>(i)]] += by_column[i];
    }
  }
  return value;
}

GpHyperparameters FitHyperparameters(const GpInputs& inputs, const Eigen::VectorXd& targets,
                                     const GpPrior& prior) {
  const MarginalLikelihood likelihood(inputs, targets);
  const auto loss = [&](const Eigen::VectorXd& packed, Eigen::VectorXd& gradient) {
    const Eigen::ArrayXd offset = (packed - prior.mean).array() / prior.deviation.array();
    const double value = likelihood(packed, &gradient);
    gradient = -gradient.array() + offset / prior.deviation.array();
    return 0.5 * offset.square().sum() - value;
  };
  Eigen::VectorXd shorter = prior.mean;
  shorter.head(likelihood.lengths()).array() -= 1.5;
  LbfgsResult best = MinimiseLbfgs(loss, prior.mean);
  LbfgsResult other = MinimiseLbfgs(loss, shorter);
  return GpHyperparameters::Unpack(other.value < best.value ? other.point : best.point,
                                   likelihood.lengths());
}

}  // namespace lathe::search
