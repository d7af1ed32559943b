#include "latency/regression.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace lathe::latency {
namespace {

constexpr Eigen::Index kPoints = 40;

// sin(2x) + x / 2 over x in 0..3, with a second feature that is 0 but for one point.
Regression Fit(double odd_feature, double odd_error) {
  Random random(3);
  Eigen::MatrixXd features = Eigen::MatrixXd::Zero(kPoints, 2);
  Eigen::VectorXd targets(kPoints);
  for (Eigen::Index i = 0; i < kPoints; ++i) {
    const double x = 3 * random.Uniform();
    features(i, 0) = x;
    targets[i] = std::sin(2 * x) + x / 2;
  }
  features(kPoints / 2, 1) = odd_feature;
  targets[kPoints / 2] += odd_error;
  return {features, targets, Eigen::VectorXd::Ones(kPoints)};
}

TEST(Regression, FollowsTheDataBetweenThePoints) {
  const Regression regression = Fit(0, 0);
  for (const double x : {0.4, 1.1, 2.3}) {
    const Regression::Prediction prediction = regression.Predict(Eigen::Vector2d(x, 0));
    EXPECT_NEAR(prediction.mean, std::sin(2 * x) + x / 2, 0.05) << x;
    EXPECT_LT(prediction.sigma, 0.2) << x;
  }
}

// Such as the width of a vector that all channels but one were a multiple of.
TEST(Regression, AFeatureThatHardlyVariedIsNotExtrapolated) {
  const Regression regression = Fit(0.01, 0.5);
  const Regression::Prediction near = regression.Predict(Eigen::Vector2d(1.1, 0));
  const Regression::Prediction far = regression.Predict(Eigen::Vector2d(1.1, 1));
  EXPECT_NEAR(far.mean, near.mean, 1);
  EXPECT_GT(far.sigma, near.sigma);
}

}  // namespace
}  // namespace lathe::latency
