// The model of one moment: what was told so far, pending trials as fantasies, and how promising any
// candidate is.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <vector>

#include "base/random.h"
#include "search/acquisition.h"
#include "search/beliefs.h"
#include "search/gp.h"
#include "search/inputs.h"

namespace lathe::search {

// What is learned rarely and used often: the scale of the inputs and the hyperparameters.
struct Fit {
  InputMap map;
  GpHyperparameters hyperparameters;
};

// What the objectives are to the model.
struct Meaning {
  Goal goal = Goal::kLeast;
  Objective objective = {.alpha = 0};  // its known part is taken out before learning
};

// From the first `count` beliefs; at most `max_points` of them, drawn with `random`, bound the
// cost.
Fit LearnFit(InputMap map, const Beliefs& beliefs, size_t count, const Meaning& meaning,
             size_t max_points, Random random);

// Immutable.
class Surrogate {
 public:
  // Pending trials enter with outcomes drawn from the joint posterior, several times over (Snoek et
  // al. 2012, section 3.2).
  Surrogate(const Fit& fit, const Beliefs& beliefs, const Meaning& meaning, Random random);
  Surrogate(const Surrogate&) = delete;  // its predictor refers to its process

 private:
  friend class Pool;
  GpInputs Inducing(const GpInputs& all, const Beliefs& beliefs, Random& random) const;
  Eigen::MatrixXd PointsOf(const std::vector<Candidate>& candidates) const;
  double KnownPart(const Candidate& candidate) const;
  void SetIncumbents(const std::vector<const Candidate*>& trials, const Eigen::MatrixXd& means);

  const Fit& fit_;
  const Meaning meaning_;
  double scale_ = 1;  // of the model's targets, in units of the objective
  std::optional<GaussianProcess> process_;
  std::optional<Predictor> predictor_;
  Eigen::VectorXd best_;           // per fantasy; Goal::kLeast
  std::vector<Staircase> fronts_;  // per fantasy; Goal::kFront
};

// Candidates with their scores: the log expected improvement over the best posterior mean (or the
// front of posterior means), averaged over the fantasies; larger is better.
class Pool {
 public:
  explicit Pool(const Surrogate& surrogate);

  // Returns the index of the first.
  size_t Add(std::vector<Candidate> candidates);
  // Forgets all but these, which get the indices 0, 1, ...; before any selection.
  void Keep(const std::vector<size_t>& indices);
  const std::vector<Candidate>& candidates() const { return candidates_; }
  const std::vector<double>& scores() const { return scores_; }
  // How uncertain the model is of it: the posterior's standard deviation, in the model's units.
  double Deviation(size_t index) const;
  // The most promising one, also after selections; nullopt: none is left.
  std::optional<size_t> Top();
  // Makes this candidate pending; it is never the top again. Scores are renewed as Top() needs
  // them. Nothing can be added any more.
  void Select(size_t index, Random& random);

 private:
  double Score(Eigen::Index i) const;

  const Surrogate& surrogate_;
  std::vector<Candidate> candidates_;
  std::vector<double> scores_;
  std::vector<size_t> scored_after_;  // how many selections each score knows of
  // Per candidate, with room for more at the end.
  Eigen::VectorXd known_, variance_;
  Eigen::MatrixXd mean_;  // fantasies x candidates
  // Made by the first selection.
  Eigen::MatrixXd points_;                    // rows: inputs of the model
  Eigen::MatrixXd explained_;                 // by evidence: inducing points x candidates
  std::vector<Eigen::RowVectorXd> selected_;  // what each selection explains
  Eigen::VectorXd best_;                      // per fantasy, as the surrogate's
  std::vector<Staircase> fronts_;
};

// Objectives as the model learns them: zero mean and unit variance, after pulling in far too bad
// values (a training that diverged would flatten all the others) and, if `press`, taking the
// logarithm of the distance from the median where it is above. Keeps the order.
struct Targets {
  Eigen::VectorXd values;
  Eigen::VectorXd slopes;  // of the targets by the objectives
  double scale = 1;        // of the better half, in units of the objective
};
Targets StandardiseTargets(const std::vector<double>& values, bool press);

}  // namespace lathe::search
