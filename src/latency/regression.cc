#include "latency/regression.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "latency/stats.h"

namespace lathe::latency {
namespace {

constexpr Eigen::Index kMostPoints = 1000;   // the solve is cubic in them
constexpr Eigen::Index kTuningPoints = 300;  // enough to tell good length scales from bad
constexpr double kLengths[] = {0.35, 0.7, 1.4,
                               2.8};  // in units of the root of the number of features
constexpr double kNoises[] = {0.001, 0.004, 0.015, 0.06, 0.25, 1};

// Every n-th row, so that at most `most` remain.
Eigen::MatrixXd Thin(const Eigen::MatrixXd& rows, Eigen::Index most) {
  const Eigen::Index stride = (rows.rows() + most - 1) / most;
  Eigen::MatrixXd thin((rows.rows() + stride - 1) / stride, rows.cols());
  for (Eigen::Index i = 0; i < thin.rows(); ++i) thin.row(i) = rows.row(i * stride);
  return thin;
}

}  // namespace

Eigen::MatrixXd Regression::Kernel::operator()(const Eigen::MatrixXd& points) const {
  const Eigen::VectorXd norms = points.colwise().squaredNorm();
  const Eigen::MatrixXd products = points.transpose() * points;
  const Eigen::MatrixXd distances =
      ((-2 * products).colwise() + norms).rowwise() + norms.transpose();
  return products / static_cast<double>(points.rows()) +
         (distances.array() / (-2 * length * length)).exp().matrix();
}

Eigen::VectorXd Regression::LeaveOneOut(const Eigen::MatrixXd& covariance,
                                        const Eigen::VectorXd& targets) {
  const Eigen::LLT<Eigen::MatrixXd> factors(covariance);
  const Eigen::MatrixXd inverse =
      factors.solve(Eigen::MatrixXd::Identity(covariance.rows(), covariance.cols()));
  return (inverse * targets).cwiseQuotient(inverse.diagonal());
}

Regression::Regression(const Eigen::MatrixXd& features, const Eigen::VectorXd& targets,
                       const Eigen::VectorXd& noise) {
  const auto count = static_cast<double>(features.rows());
  center_ = features.colwise().mean();
  const Eigen::MatrixXd centered = features.rowwise() - center_.transpose();
  scale_ = (centered.colwise().squaredNorm() / count).cwiseSqrt();
  // A feature that never changes says nothing yet; a change of it in a prediction must not count
  // for much.
  scale_ = (scale_.array() < 1e-6).select(1.0, scale_);
  mean_ = targets.mean();
  deviation_ = std::max(std::sqrt((targets.array() - mean_).square().mean()), 1e-3);

  Eigen::MatrixXd table(features.rows(), features.cols() + 2);
  table << centered * scale_.cwiseInverse().asDiagonal(), (targets.array() - mean_) / deviation_,
      noise;
  const Eigen::Index d = features.cols();

  const Eigen::MatrixXd few = Thin(table, kTuningPoints);
  const Eigen::MatrixXd few_points = few.leftCols(d).transpose();
  double best = std::numeric_limits<double>::infinity();
  Kernel tried;
  for (const double length : kLengths) {
    tried.length = length * std::sqrt(static_cast<double>(d));
    const Eigen::MatrixXd covariance = tried(few_points);
    for (const double level : kNoises) {
      tried.noise = level;
      Eigen::MatrixXd noisy = covariance;
      noisy.diagonal() += level * few.col(d + 1);
      const double error = LeaveOneOut(noisy, few.col(d)).cwiseAbs().mean();
      if (error < best) {
        best = error;
        kernel_ = tried;
      }
    }
  }

  const Eigen::MatrixXd used = Thin(table, kMostPoints);
  lowest_ = table.leftCols(d).colwise().minCoeff();
  highest_ = table.leftCols(d).colwise().maxCoeff();
  points_ = used.leftCols(d).transpose();
  point_norms_ = points_.colwise().squaredNorm();
  Eigen::MatrixXd covariance = kernel_(points_);
  covariance.diagonal() += kernel_.noise * used.col(d + 1);
  const Eigen::LLT<Eigen::MatrixXd> factors(covariance);
  weights_ = factors.solve(used.col(d));
  slope_ = points_ * weights_ / static_cast<double>(d);
  Eigen::MatrixXd few_covariance = kernel_(few_points);
  few_covariance.diagonal() += kernel_.noise * few.col(d + 1);
  FitSigma(few_points, LeaveOneOut(few_covariance, few.col(d)));
}

Eigen::VectorXd Regression::Similarities(const Eigen::VectorXd& point) const {
  const Eigen::ArrayXd distances =
      point_norms_.array() - 2 * (points_.transpose() * point).array() + point.squaredNorm();
  return (distances / (-2 * kernel_.length * kernel_.length)).exp();
}

// Leave-one-out errors against loneliness: |error| = near + far * (1 - similarity to the nearest
// other point).
void Regression::FitSigma(const Eigen::MatrixXd& points, const Eigen::VectorXd& errors) {
  const Eigen::VectorXd norms = points.colwise().squaredNorm();
  Eigen::MatrixX2d terms(points.cols(), 2);
  for (Eigen::Index i = 0; i < points.cols(); ++i) {
    Eigen::ArrayXd distances = (points.colwise() - points.col(i)).colwise().squaredNorm();
    distances[i] = std::numeric_limits<double>::infinity();
    terms.row(i) << 1, 1 - std::exp(distances.minCoeff() / (-2 * kernel_.length * kernel_.length));
  }
  const Eigen::VectorXd sizes = kMeanAbsoluteToDeviation * errors.cwiseAbs();
  const Eigen::Vector2d solution = terms.colPivHouseholderQr().solve(sizes);
  const bool sound = solution[0] >= 0 && solution[1] >= 0;
  sigma_near_ = sound ? solution[0] : sizes.mean();
  sigma_far_ = sound ? solution[1] : 0;
}

Regression::Prediction Regression::Predict(const Eigen::VectorXd& features) const {
  const Eigen::VectorXd point = (features - center_).cwiseQuotient(scale_);
  // A feature that hardly varied among the points has a slope that says nothing far from them.
  const Eigen::VectorXd inside = point.cwiseMax(lowest_).cwiseMin(highest_);
  const Eigen::VectorXd similarities = Similarities(inside);
  const double value = slope_.dot(inside) + weights_.dot(similarities);
  const double loneliness = 1 - (inside == point ? similarities : Similarities(point)).maxCoeff();
  return {.mean = mean_ + deviation_ * value,
          .sigma = deviation_ * (sigma_near_ + sigma_far_ * loneliness)};
}

}  // namespace lathe::latency
