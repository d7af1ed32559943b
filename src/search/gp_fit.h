// Hyperparameters of the Gaussian process by maximum a posteriori: the log marginal likelihood plus
// log-normal priors, maximised by L-BFGS with analytic gradients. Deterministic; thread-safe.
#pragma once

#include <Eigen/Core>

#include "search/gp.h"

namespace lathe::search {

// A normal prior on the logarithms, in the order of GpHyperparameters::Pack().
struct GpPrior {
  Eigen::VectorXd mean;
  Eigen::MatrixXd precision;  // the inverse of their covariance

  explicit GpPrior(Eigen::Index size);
  // Of `count` of them from `first` on, any two of which correlate by `correlation`, at least 0 and
  // less than 1.
  void Set(Eigen::Index first, Eigen::Index count, double mean_of_each, double deviation,
           double correlation = 0);
};

class MarginalLikelihood {
 public:
  MarginalLikelihood(const GpInputs& inputs, const Eigen::VectorXd& targets);

  // log p(targets | inputs, hyperparameters), Rasmussen and Williams (2.30), and its gradient by
  // the packed hyperparameters (5.9) where `gradient` is not null.
  double operator()(const Eigen::VectorXd& packed, Eigen::VectorXd* gradient) const;
  Eigen::Index lengths() const { return lengths_; }  // groups of the Matern kernel

 private:
  Eigen::VectorXd targets_;
  Eigen::MatrixXd matern_, additive_;  // points x columns
  std::vector<int> matern_groups_, additive_groups_;
  Eigen::Index lengths_;
};

struct GpFit {
  GpHyperparameters hyperparameters;
  double loss;  // minus the log evidence, minus the log of the prior's density over its largest
};

// Starts at the prior's mean and at one shorter-scaled point; keeps the better optimum.
GpFit FitHyperparameters(const GpInputs& inputs, const Eigen::VectorXd& targets,
                         const GpPrior& prior);

}  // namespace lathe::search
