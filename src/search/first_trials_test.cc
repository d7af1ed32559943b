#include "search/first_trials.h"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>
#include <algorithm>

#include "base/random.h"
#include "search/gp.h"
#include "search/prior.h"

namespace lathe::search {
namespace {

const std::vector<Dimension> kDimensions = {{.name = "a", .choices = {0, 1, 2, 3}},
                                            {.name = "b", .choices = {0, 1, 2}, .ordinal = false},
                                            {.name = "c", .choices = {0, 1}}};

std::vector<Candidate> SomeCandidates() {
  std::vector<Candidate> all;
  Random random(3);
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < 3; ++b) {
      for (int c = 0; c < 2; ++c) {
        all.push_back({.encoding = {a, b, c}, .features = {random.Normal()}});
      }
    }
  }
  return all;
}

// The variances of the posterior that observations at `observed` leave, by its textbook formula.
Eigen::VectorXd Variances(const std::vector<Candidate>& candidates,
                          const std::vector<const Candidate*>& observed) {
  const std::vector<const Candidate*> points = PointersTo(candidates);
  InputMap map(kDimensions, 1);
  map.SetScale(points);
  const GpInputs inputs = map.Inputs(points);
  const GaussianProcess process(
      inputs, GpHyperparameters::Unpack(PriorFor(map).mean, map.gene_groups() + 1));
  const Eigen::MatrixXd at = map.Inputs(observed).rows;
  Eigen::MatrixXd between = process.PriorCovariance(at, at);
  between.diagonal().array() += process.noise();
  const Eigen::MatrixXd across = process.PriorCovariance(at, inputs.rows);
  const Eigen::MatrixXd prior = process.PriorCovariance(inputs.rows, inputs.rows);
  return prior.diagonal() - (across.transpose() * between.llt().solve(across)).diagonal();
}

TEST(LeastCertain, TakesTheLargestPosteriorVarianceEachTime) {
  std::vector<Candidate> candidates = SomeCandidates();
  const std::vector<Candidate> before(candidates.end() - 3, candidates.end());
  candidates.resize(candidates.size() - 3);
  std::vector<const Candidate*> observed = PointersTo(before);
  const std::vector<size_t> chosen =
      LeastCertain(InputMap(kDimensions, 1), observed, candidates, 8);
  ASSERT_EQ(chosen.size(), 8u);
  for (const size_t index : chosen) {
    const Eigen::VectorXd variances = Variances(candidates, observed);
    EXPECT_NEAR(variances[static_cast<Eigen::Index>(index)], variances.maxCoeff(), 1e-9);
    observed.push_back(&candidates[index]);
  }
}

TEST(LeastCertain, TakesEachOnceAndNoMoreThanThereAre) {
  std::vector<Candidate> candidates = SomeCandidates();
  candidates[1] = candidates[0];  // as uncertain as the first once that is known
  std::vector<size_t> chosen = LeastCertain(InputMap(kDimensions, 1), {}, candidates, 100);
  std::ranges::sort(chosen);
  ASSERT_EQ(chosen.size(), candidates.size());
  for (size_t i = 0; i < chosen.size(); ++i) EXPECT_EQ(chosen[i], i);
}

}  // namespace
}  // namespace lathe::search
