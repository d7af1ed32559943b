// The model of one ask: what was told so far, pending trials as fantasies, and how promising any
// candidate is. Immutable.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <vector>

#include "base/random.h"
#include "search/gp.h"
#include "search/inputs.h"

namespace lathe::search {

// Told candidates with their (finite) objectives.
struct Observations {
  std::vector<const Candidate*> candidates;
  std::vector<double> values;
};

// What is learned rarely and used often: the scale of the inputs and the hyperparameters.
struct Fit {
  InputMap map;
  GpHyperparameters hyperparameters;
};

// At most `max_points` observations, drawn with `random`, bound the cost.
Fit LearnFit(InputMap map, const Observations& observations, size_t max_points, Random random);

class Surrogate {
 public:
  // Pending trials enter with outcomes drawn from the joint posterior, several times over (Snoek et
  // al. 2012, section 3.2).
  Surrogate(const Fit& fit, const Observations& observations,
            const std::vector<const Candidate*>& pending, Random random);

  // Log expected improvement over the best posterior mean, averaged over the fantasies; larger is
  // better.
  std::vector<double> Score(const std::vector<Candidate>& candidates) const;

 private:
  const Fit& fit_;
  std::optional<GaussianProcess> process_;
  Eigen::VectorXd best_;  // per fantasy
};

// Zero mean and unit variance, after pulling in far too bad values (a training that diverged would
// flatten all the others) and taking the logarithm of the distance from the median where it is
// above. Keeps the order.
Eigen::VectorXd StandardiseTargets(const std::vector<double>& values);

}  // namespace lathe::search
