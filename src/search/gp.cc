#include "search/gp.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "search/linalg.h"

namespace lathe::search {

namespace {

constexpr Eigen::Index kChunk = 64;  // points: what is worked on stays in the second-level cache

}  // namespace

Eigen::VectorXd GpHyperparameters::Pack() const {
  Eigen::VectorXd packed(log_length.size() + 2 + log_additive.size());
  packed << log_length, log_signal, log_noise, log_additive;
  return packed;
}

GpHyperparameters GpHyperparameters::Unpack(const Eigen::VectorXd& packed, Eigen::Index lengths) {
  return {.log_length = packed.head(lengths),
          .log_signal = packed[lengths],
          .log_noise = packed[lengths + 1],
          .log_additive = packed.tail(packed.size() - lengths - 2)};
}

Eigen::MatrixXd StableCholesky(const Eigen::MatrixXd& covariance) {
  const double scale = covariance.diagonal().mean();
  constexpr double kLargest = 1e-2;
  for (double jitter = 0; jitter <= kLargest; jitter = jitter == 0 ? 1e-12 : jitter * 10) {
    Eigen::MatrixXd factor = covariance;
    factor.diagonal().array() += jitter * scale;
    if (CholeskyInPlace(factor)) return factor.triangularView<Eigen::Lower>();
  }
  throw Error(ErrorKind::kInternal, "a {0} x {0} covariance matrix is not positive definite",
              covariance.rows());
}

GaussianProcess::GaussianProcess(const GpInputs& inducing, const GpHyperparameters& hyperparameters)
    : signal_(std::exp(hyperparameters.log_signal)),
      noise_(std::exp(hyperparameters.log_noise)),
      matern_columns_(std::ssize(inducing.groups)),
      column_scale_(inducing.rows.cols()) {
  for (size_t i = 0; i < inducing.groups.size(); ++i) {
    column_scale_[static_cast<Eigen::Index>(i)] =
        std::exp(-hyperparameters.log_length[inducing.groups[i]]);
  }
  for (size_t i = 0; i < inducing.additive_groups.size(); ++i) {
    column_scale_[matern_columns_ + static_cast<Eigen::Index>(i)] =
        std::exp(0.5 * hyperparameters.log_additive[inducing.additive_groups[i]]);
  }
  scaled_ = Scale(inducing.rows);
  distances_.emplace(scaled_.leftCols(matern_columns_));
  whitening_ = InverseOfLower(StableCholesky(Kernel(scaled_)));
}

Eigen::MatrixXd GaussianProcess::Scale(const Eigen::MatrixXd& rows) const {
  return rows.array().rowwise() * column_scale_.array();
}

Eigen::MatrixXd GaussianProcess::Kernel(const DistancesFrom& from_a,
                                        const Eigen::MatrixXd& scaled_a,
                                        const Eigen::MatrixXd& scaled_b) const {
  Eigen::MatrixXd kernel = from_a.To(scaled_b.leftCols(matern_columns_));
  Matern52InPlace(kernel, signal_);
  const Eigen::Index additive = scaled_a.cols() - matern_columns_;
  if (additive > 0) {
    MultiplyInto(scaled_a.rightCols(additive), scaled_b.rightCols(additive),
                 {.transpose_b = true, .add = true}, kernel);
  }
  return kernel;
}

Eigen::VectorXd GaussianProcess::Unexplained(const Eigen::MatrixXd& scaled,
                                             const Eigen::MatrixXd& explained) const {
  const Eigen::ArrayXd prior =
      signal_ + scaled.rightCols(scaled.cols() - matern_columns_).rowwise().squaredNorm().array();
  return (prior - explained.colwise().squaredNorm().transpose().array()).max(0);
}

GaussianProcess::Features GaussianProcess::FeaturesOf(const Eigen::MatrixXd& points) const {
  Features features{.values = Eigen::MatrixXd(size(), points.rows()),
                    .residual = Eigen::VectorXd(points.rows())};
  for (Eigen::Index begin = 0; begin < points.rows(); begin += kChunk) {
    const Eigen::Index count = std::min(kChunk, points.rows() - begin);
    const Eigen::MatrixXd scaled = Scale(points.middleRows(begin, count));
    Eigen::MatrixXd values = Kernel(scaled);
    MultiplyLowerInPlace(whitening_, values);
    features.residual.segment(begin, count) = Unexplained(scaled, values);
    features.values.middleCols(begin, count) = values;
  }
  return features;
}

void AddInformation(const ConstMatrixRef& features, const Eigen::VectorXd& precisions,
                    Eigen::MatrixXd& information) {
  const Eigen::MatrixXd weighted =
      features.array().rowwise() * precisions.transpose().array().sqrt();
  AddSquareInto(weighted, information);
}

WeightPosterior::WeightPosterior(const Eigen::MatrixXd& information,
                                 const Eigen::MatrixXd& moment) {
  Eigen::MatrixXd precision = information;
  precision.diagonal().array() += 1;
  cholesky_ = StableCholesky(precision);
  mean_ = moment;
  SolveLowerInPlace(cholesky_, mean_);
  SolveLowerTransposedInPlace(cholesky_, mean_);
}

// The Cholesky factor of a matrix whose rows and columns are reversed is upper triangular in the
// right order.
Eigen::MatrixXd WeightPosterior::Reduction() const {
  // I - precision^-1, reversed.
  const Eigen::MatrixXd whitening = InverseOfLower(cholesky_).transpose().reverse();
  Eigen::MatrixXd taken = Eigen::MatrixXd::Zero(whitening.rows(), whitening.rows());
  AddSquareInto(whitening, taken);
  taken = Eigen::MatrixXd::Identity(taken.rows(), taken.cols()) - taken;
  return StableCholesky(taken).reverse().transpose();
}

Eigen::MatrixXd WeightPosterior::Sample(const Eigen::MatrixXd& normal) const {
  Eigen::MatrixXd sample = normal;
  SolveLowerTransposedInPlace(cholesky_, sample);
  return sample.colwise() + mean_.col(0);
}

Predictor::Predictor(const GaussianProcess& process, const WeightPosterior& posterior)
    : process_(process),
      mean_weights_(Multiply(posterior.mean().transpose(), process.whitening_)),
      reduction_(process.whitening_) {
  MultiplyLowerInPlace(posterior.Reduction(), reduction_);
}

Predictor::Prediction Predictor::At(const Eigen::MatrixXd& points) const {
  Prediction prediction{.means = Eigen::MatrixXd(mean_weights_.rows(), points.rows()),
                        .variances = Eigen::VectorXd(points.rows())};
  for (Eigen::Index begin = 0; begin < points.rows(); begin += kChunk) {
    const Eigen::Index count = std::min(kChunk, points.rows() - begin);
    const Eigen::MatrixXd scaled = process_.Scale(points.middleRows(begin, count));
    Eigen::MatrixXd kernel = process_.Kernel(scaled);
    MultiplyInto(mean_weights_, kernel, {}, prediction.means.middleCols(begin, count));
    MultiplyLowerInPlace(reduction_, kernel);
    prediction.variances.segment(begin, count) = process_.Unexplained(scaled, kernel);
  }
  return prediction;
}

Eigen::MatrixXd Predictor::Explained(const Eigen::MatrixXd& points) const {
  Eigen::MatrixXd kernel = process_.Kernel(process_.Scale(points));
  MultiplyLowerInPlace(reduction_, kernel);
  return kernel;
}

}  // namespace lathe::search
