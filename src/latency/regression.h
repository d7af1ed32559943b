// Gaussian-process regression with a linear and a squared-exponential kernel (Rasmussen and
// Williams 2006, chapters 2 and 5.4.2): the linear part follows the trend, the other bends to the
// data. No feature is extrapolated: what lies outside of the points is taken to be at their edge.
// Immutable once fitted; thread-safe.
#pragma once

#include <Eigen/Dense>

namespace lathe::latency {

class Regression {
 public:
  struct Prediction {
    double mean = 0, sigma = 0;
  };

  // Rows of `features` are points; `noise` is each target's own variance relative to the others
  // (mean about 1). The length scale and the noise level are those with the smallest leave-one-out
  // error.
  Regression(const Eigen::MatrixXd& features, const Eigen::VectorXd& targets,
             const Eigen::VectorXd& noise);

  // `sigma` is what leave-one-out errors were at points as lonely as this one.
  Prediction Predict(const Eigen::VectorXd& features) const;

 private:
  struct Kernel {
    double length = 1, noise = 0.1;  // relative to the targets' variance
    Eigen::MatrixXd operator()(const Eigen::MatrixXd& points) const;
  };
  static Eigen::VectorXd LeaveOneOut(const Eigen::MatrixXd& covariance,
                                     const Eigen::VectorXd& targets);
  Eigen::VectorXd Similarities(const Eigen::VectorXd& point) const;
  void FitSigma(const Eigen::MatrixXd& points, const Eigen::VectorXd& errors);

  Eigen::VectorXd center_, scale_;    // of the features
  Eigen::VectorXd lowest_, highest_;  // of the points, standardised
  double mean_ = 0, deviation_ = 1;   // of the targets
  Kernel kernel_;
  Eigen::MatrixXd points_;  // a column each, standardised
  Eigen::VectorXd point_norms_;
  Eigen::VectorXd weights_;  // of the points
  Eigen::VectorXd slope_;    // the linear kernel's share, summed up
  double sigma_near_ = 0, sigma_far_ = 0;
};

}  // namespace lathe::latency
