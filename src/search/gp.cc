#include "search/gp.h"

#include <Eigen/Cholesky>
#include <cmath>

#include "base/error.h"

namespace lathe::search {

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

void Matern52InPlace(Eigen::Ref<Eigen::MatrixXd> squared_distances, double signal) {
  const auto scaled = (5.0 * squared_distances.array()).max(0.0);  // (sqrt(5) r)^2
  squared_distances = signal * (1.0 + scaled.sqrt() + scaled / 3.0) * (-scaled.sqrt()).exp();
}

Eigen::MatrixXd StableCholesky(const Eigen::MatrixXd& covariance) {
  const double scale = covariance.diagonal().mean();
  constexpr double kLargest = 1e-2;
  for (double jitter = 0; jitter <= kLargest; jitter = jitter == 0 ? 1e-10 : jitter * 10) {
    Eigen::MatrixXd jittered = covariance;
    jittered.diagonal().array() += jitter * scale;
    const Eigen::LLT<Eigen::MatrixXd> llt(jittered);
    if (llt.info() == Eigen::Success) return llt.matrixL();
  }
  throw Error(ErrorKind::kInternal, "a {0} x {0} covariance matrix is not positive definite",
              covariance.rows());
}

GaussianProcess::GaussianProcess(const GpInputs& inputs, const Eigen::MatrixXd& targets,
                                 const GpHyperparameters& hyperparameters)
    : signal_(std::exp(hyperparameters.log_signal)),
      noise_(std::exp(hyperparameters.log_noise)),
      matern_columns_(std::ssize(inputs.groups)),
      column_scale_(inputs.rows.cols()),
      targets_(targets) {
  for (size_t i = 0; i < inputs.groups.size(); ++i) {
    column_scale_[static_cast<Eigen::Index>(i)] =
        std::exp(-hyperparameters.log_length[inputs.groups[i]]);
  }
  for (size_t i = 0; i < inputs.additive_groups.size(); ++i) {
    column_scale_[matern_columns_ + static_cast<Eigen::Index>(i)] =
        std::exp(0.5 * hyperparameters.log_additive[inputs.additive_groups[i]]);
  }
  scaled_ = Scale(inputs.rows);
  Eigen::MatrixXd covariance = Kernel(scaled_, scaled_);
  covariance.diagonal().array() += noise_;
  cholesky_ = StableCholesky(covariance);
  const auto lower = cholesky_.triangularView<Eigen::Lower>();
  alpha_ = cholesky_.transpose().triangularView<Eigen::Upper>().solve(lower.solve(targets_));
}

Eigen::MatrixXd GaussianProcess::Scale(const Eigen::MatrixXd& rows) const {
  return rows.array().rowwise() * column_scale_.array();
}

Eigen::MatrixXd GaussianProcess::Kernel(const Eigen::MatrixXd& scaled_a,
                                        const Eigen::MatrixXd& scaled_b) const {
  const auto a = scaled_a.leftCols(matern_columns_), b = scaled_b.leftCols(matern_columns_);
  Eigen::MatrixXd kernel = -2.0 * a * b.transpose();
  kernel.colwise() += a.rowwise().squaredNorm();
  kernel.rowwise() += b.rowwise().squaredNorm().transpose();
  Matern52InPlace(kernel, signal_);
  const Eigen::Index additive = scaled_a.cols() - matern_columns_;
  if (additive > 0) {
    kernel.noalias() += scaled_a.rightCols(additive) * scaled_b.rightCols(additive).transpose();
  }
  return kernel;
}

Eigen::ArrayXd GaussianProcess::PriorVariance(const Eigen::MatrixXd& scaled) const {
  return signal_ +
         scaled.rightCols(scaled.cols() - matern_columns_).rowwise().squaredNorm().array();
}

GaussianProcess::Posterior GaussianProcess::Predict(const Eigen::MatrixXd& points) const {
  const Eigen::MatrixXd scaled = Scale(points);
  const Eigen::MatrixXd cross = Kernel(scaled_, scaled);
  const Eigen::MatrixXd solved = cholesky_.triangularView<Eigen::Lower>().solve(cross);
  return {
      .mean = cross.transpose() * alpha_,
      .variance =
          (PriorVariance(scaled) - solved.colwise().squaredNorm().transpose().array()).max(0.0)};
}

Eigen::MatrixXd GaussianProcess::Covariance(const Eigen::MatrixXd& points) const {
  const Eigen::MatrixXd scaled = Scale(points);
  const Eigen::MatrixXd solved =
      cholesky_.triangularView<Eigen::Lower>().solve(Kernel(scaled_, scaled));
  return Kernel(scaled, scaled) - solved.transpose() * solved;
}

Eigen::MatrixXd GaussianProcess::MeanAtInputs() const {
  return targets_ - noise_ * alpha_;  // K alpha, as (K + noise I) alpha = targets
}

}  // namespace lathe::search
