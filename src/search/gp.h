// Gaussian process regression (Rasmussen and Williams 2006, chapters 2 and 5). The kernel is a
// Matern-5/2 over all inputs, with one length scale per group of columns, plus optionally a sum of
// kernels of single groups (Duvenaud et al. 2011, "Additive Gaussian Processes", first order),
// which learns from few points what each input does by itself. Zero prior mean: standardise the
// targets. Immutable; deterministic; thread-safe.
#pragma once

#include <Eigen/Core>
#include <vector>

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

// Columns of `targets` are independent outputs (fantasies) over the same inputs; they share the
// variance.
class GaussianProcess {
 public:
  GaussianProcess(const GpInputs& inputs, const Eigen::MatrixXd& targets,
                  const GpHyperparameters& hyperparameters);

  struct Posterior {
    Eigen::MatrixXd mean;      // points x outputs
    Eigen::VectorXd variance;  // of the noise-free function
  };
  Posterior Predict(const Eigen::MatrixXd& points) const;
  // Posterior covariance between points, without noise.
  Eigen::MatrixXd Covariance(const Eigen::MatrixXd& points) const;
  // Posterior mean at the inputs themselves.
  Eigen::MatrixXd MeanAtInputs() const;

 private:
  Eigen::MatrixXd Scale(const Eigen::MatrixXd& rows) const;
  Eigen::MatrixXd Kernel(const Eigen::MatrixXd& scaled_a, const Eigen::MatrixXd& scaled_b) const;
  Eigen::ArrayXd PriorVariance(const Eigen::MatrixXd& scaled) const;

  double signal_, noise_;
  Eigen::Index matern_columns_;
  Eigen::RowVectorXd column_scale_;  // per column: 1 / length, or the root of the part's variance
  Eigen::MatrixXd scaled_, targets_;
  Eigen::MatrixXd cholesky_;  // lower
  Eigen::MatrixXd alpha_;     // K^-1 targets
};

// signal * (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r), in place, from squared scaled distances.
void Matern52InPlace(Eigen::Ref<Eigen::MatrixXd> squared_distances, double signal);

// Lower Cholesky factor. Adds the smallest jitter (relative to the mean diagonal) that makes it
// succeed.
Eigen::MatrixXd StableCholesky(const Eigen::MatrixXd& covariance);

}  // namespace lathe::search
