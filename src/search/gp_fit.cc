#include "search/gp_fit.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "search/lbfgs.h"
#include "search/linalg.h"

namespace lathe::search {
namespace {

int GroupCount(const std::vector<int>& groups) {
  return groups.empty() ? 0 : 1 + *std::max_element(groups.begin(), groups.end());
}

}  // namespace

GpPrior::GpPrior(Eigen::Index size)
    : mean(Eigen::VectorXd::Zero(size)), precision(Eigen::MatrixXd::Identity(size, size)) {}

void GpPrior::Set(Eigen::Index first, Eigen::Index count, double mean_of_each, double deviation,
                  double correlation) {
  mean.segment(first, count).setConstant(mean_of_each);
  // Sherman-Morrison, for (1 - c) I + c 1 1^T
  const double own = 1 - correlation;
  auto block = precision.block(first, first, count, count);
  block.setConstant(-correlation / (own + correlation * static_cast<double>(count)));
  block.diagonal().array() += 1;
  block /= own * deviation * deviation;
}

MarginalLikelihood::MarginalLikelihood(const GpInputs& inputs, const Eigen::VectorXd& targets)
    : targets_(targets),
      matern_(inputs.rows.leftCols(std::ssize(inputs.groups))),
      additive_(inputs.rows.rightCols(std::ssize(inputs.additive_groups))),
      matern_groups_(inputs.groups),
      additive_groups_(inputs.additive_groups),
      lengths_(GroupCount(inputs.groups)) {}

double MarginalLikelihood::operator()(const Eigen::VectorXd& packed,
                                      Eigen::VectorXd* gradient) const {
  const GpHyperparameters hyperparameters = GpHyperparameters::Unpack(packed, lengths());
  const double signal = std::exp(hyperparameters.log_signal);
  const double noise = std::exp(hyperparameters.log_noise);
  const Eigen::Index n = targets_.size();

  Eigen::MatrixXd scaled = matern_;
  for (Eigen::Index i = 0; i < scaled.cols(); ++i) {
    scaled.col(i) *= std::exp(-hyperparameters.log_length[matern_groups_[static_cast<size_t>(i)]]);
  }
  Eigen::MatrixXd parts = additive_;
  for (Eigen::Index i = 0; i < parts.cols(); ++i) {
    const int group = additive_groups_[static_cast<size_t>(i)];
    parts.col(i) *= std::exp(0.5 * hyperparameters.log_additive[group]);
  }
  Eigen::MatrixXd matern = SquaredDistances(scaled, scaled);
  Eigen::MatrixXd slope;  // d matern / d (squared distance), times -2
  Matern52InPlace(matern, signal, &slope);
  Eigen::MatrixXd covariance = matern;
  covariance.diagonal().array() += noise;
  if (parts.cols() > 0) {
    MultiplyInto(parts, parts, {.transpose_b = true, .add = true}, covariance);
  }
  const Eigen::MatrixXd cholesky = StableCholesky(covariance);
  Eigen::MatrixXd alpha = targets_;
  SolveLowerInPlace(cholesky, alpha);
  SolveLowerTransposedInPlace(cholesky, alpha);
  const double value = -0.5 * targets_.dot(alpha.col(0)) - cholesky.diagonal().array().log().sum() -
                       0.5 * static_cast<double>(n) * std::log(2.0 * std::numbers::pi);
  if (gradient == nullptr) return value;

  // d value / d K = (alpha alpha^T - K^-1) / 2
  const Eigen::MatrixXd inverse = InverseOfLower(cholesky);
  Eigen::MatrixXd sensitivity = alpha * alpha.transpose();
  MultiplyInto(inverse, inverse, {.transpose_a = true, .alpha = -1, .add = true}, sensitivity);
  gradient->setZero(packed.size());
  // For symmetric S: sum_ij S_ij (x_i - x_j)^2 = 2 sum_i (x_i^2 sum_j S_ij) - 2 x^T S x.
  slope.array() *= sensitivity.array();
  const Eigen::MatrixXd pulled = Multiply(slope, scaled);
  const Eigen::VectorXd sums = slope.rowwise().sum();
  for (Eigen::Index i = 0; i < scaled.cols(); ++i) {
    (*gradient)[matern_groups_[static_cast<size_t>(i)]] +=
        scaled.col(i).cwiseAbs2().dot(sums) - scaled.col(i).dot(pulled.col(i));
  }
  (*gradient)[lengths_] = 0.5 * (sensitivity.array() * matern.array()).sum();
  (*gradient)[lengths_ + 1] = 0.5 * noise * sensitivity.trace();
  const Eigen::MatrixXd sensed = Multiply(sensitivity, parts);
  for (Eigen::Index i = 0; i < parts.cols(); ++i) {
    (*gradient)[lengths_ + 2 + additive_groups_[static_cast<size_t>(i)]] +=
        0.5 * sensed.col(i).dot(parts.col(i));
  }
  return value;
}

GpFit FitHyperparameters(const GpInputs& inputs, const Eigen::VectorXd& targets,
                         const GpPrior& prior) {
  const MarginalLikelihood likelihood(inputs, targets);
  const auto loss = [&](const Eigen::VectorXd& packed, Eigen::VectorXd& gradient) {
    const Eigen::VectorXd offset = packed - prior.mean;
    const Eigen::VectorXd pull = prior.precision * offset;
    const double value = likelihood(packed, &gradient);
    gradient = pull - gradient;
    return 0.5 * offset.dot(pull) - value;
  };
  Eigen::VectorXd shorter = prior.mean;
  shorter.head(likelihood.lengths()).array() -= 1.5;
  LbfgsResult best = MinimiseLbfgs(loss, prior.mean);
  LbfgsResult other = MinimiseLbfgs(loss, shorter);
  if (other.value < best.value) best = std::move(other);
  return {.hyperparameters = GpHyperparameters::Unpack(best.point, likelihood.lengths()),
          .loss = best.value};
}

}  // namespace lathe::search
