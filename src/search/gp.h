// Gaussian process regression (Rasmussen and Williams 2006, chapters 2 and 5). The kernel is a
// Matern-5/2 over all inputs, with one length scale per group of columns, plus optionally a sum of
// kernels of single groups (Duvenaud et al. 2011, "Additive Gaussian Processes", first order),
// which learns from few points what each input does by itself. Zero prior mean: standardise the
// targets. Immutable; deterministic; thread-safe.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <vector>

#include "search/linalg.h"

namespace lathe::search {

// Logarithms, since all of them are positive and vary over orders of magnitude.
struct GpHyperparameters {
  Eigen::VectorXd log_length;         // per group
  double log_signal = 0;              // of the signal's variance
  double log_noise = 0;               // of the noise's variance
  Eigen::VectorXd log_additive = {};  // per additive group: of its part's variance

  // {log_length..., log_signal, log_noise, log_additive...}
  Eigen::VectorXd Pack() const;
  static GpHyperparameters Unpack(const Eigen::VectorXd& packed, Eigen::Index lengths);
};

// Rows are points. `groups` gives the group of each column of the Matern kernel. Further columns
// are the additive part: the kernel of one of its groups is the product of the group's columns at
// two points, so they hold an embedding of the input; `additive_groups` gives their groups.
struct GpInputs {
  Eigen::MatrixXd rows;
  std::vector<int> groups;
  std::vector<int> additive_groups = {};
};

// The prior as a linear model of finitely many features (Titsias 2009; Quinonero-Candela and
// Rasmussen 2005): a function is features(x) . w + residual(x) with w ~ N(0, I), where the residual
// is independent noise that vanishes at the inducing points. When every point of evidence is an
// inducing point, the posterior is the exact Gaussian process's; otherwise an approximation whose
// cost grows with the square of the number of inducing points, however much evidence there is.
class GaussianProcess {
 public:
  GaussianProcess(const GpInputs& inducing, const GpHyperparameters& hyperparameters);

  struct Features {
    Eigen::MatrixXd values;    // inducing points x points
    Eigen::VectorXd residual;  // variance per point, not negative
  };
  // Rows of `points` as those of the inducing inputs.
  Features FeaturesOf(const Eigen::MatrixXd& points) const;

  // Prior covariance between the functions' values at two sets of points: rows of a x rows of b.
  Eigen::MatrixXd PriorCovariance(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) const {
    const Eigen::MatrixXd scaled = Scale(a);
    return Kernel(DistancesFrom(scaled.leftCols(matern_columns_)), scaled, Scale(b));
  }

  Eigen::Index size() const { return scaled_.rows(); }
  double noise() const { return noise_; }  // variance of an observation

 private:
  friend class Predictor;
  Eigen::MatrixXd Scale(const Eigen::MatrixXd& rows) const;
  Eigen::MatrixXd Kernel(const DistancesFrom& from_a, const Eigen::MatrixXd& scaled_a,
                         const Eigen::MatrixXd& scaled_b) const;
  // Of the inducing points: inducing points x points.
  Eigen::MatrixXd Kernel(const Eigen::MatrixXd& scaled) const {
    return Kernel(*distances_, scaled_, scaled);
  }
  // Per column of `explained`: what its squares leave of the prior variance, not negative.
  Eigen::VectorXd Unexplained(const Eigen::MatrixXd& scaled,
                              const Eigen::MatrixXd& explained) const;

  double signal_, noise_;
  Eigen::Index matern_columns_;
  Eigen::RowVectorXd column_scale_;  // per column: 1 / length, or the root of the part's variance
  Eigen::MatrixXd scaled_;           // inducing points
  std::optional<DistancesFrom> distances_;  // from them
  Eigen::MatrixXd whitening_;  // inverse of the Cholesky factor of the kernel between them
};

// Adds what observations with these features and precisions (1 / variance) say about the weights.
void AddInformation(const ConstMatrixRef& features, const Eigen::VectorXd& precisions,
                    Eigen::MatrixXd& information);

// What is believed of the weights: their precision is I + information. Columns of `moment` (the sum
// of features times precision times target) are independent outputs that share the precision.
class WeightPosterior {
 public:
  WeightPosterior(const Eigen::MatrixXd& information, const Eigen::MatrixXd& moment);

  const Eigen::MatrixXd& mean() const { return mean_; }  // weights x outputs
  // What evidence has taken from their variance: a lower triangular C where C^T C is I -
  // precision^-1.
  Eigen::MatrixXd Reduction() const;
  // A sample of the weights around the first output's mean, from standard normal numbers.
  Eigen::MatrixXd Sample(const Eigen::MatrixXd& normal) const;

 private:
  Eigen::MatrixXd cholesky_;  // of the precision
  Eigen::MatrixXd mean_;
};

// The posterior at any points. Immutable.
class Predictor {
 public:
  Predictor(const GaussianProcess& process, const WeightPosterior& posterior);

  struct Prediction {
    Eigen::MatrixXd means;      // outputs x points
    Eigen::VectorXd variances;  // of the function's value, without an observation's noise
  };
  Prediction At(const Eigen::MatrixXd& points) const;
  // Inner products of its columns (inducing points x points) are what the posterior covariances of
  // two points are less than the prior ones.
  Eigen::MatrixXd Explained(const Eigen::MatrixXd& points) const;

 private:
  const GaussianProcess& process_;
  // Of the kernel between inducing points and a point.
  Eigen::MatrixXd mean_weights_;  // outputs x inducing points
  Eigen::MatrixXd reduction_;     // lower triangular
};

// Lower Cholesky factor. Adds the smallest jitter (relative to the mean diagonal) that makes it
// succeed.
Eigen::MatrixXd StableCholesky(const Eigen::MatrixXd& covariance);

}  // namespace lathe::search
