#include "search/acquisition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace lathe::search {
namespace {

// log(phi(z) + z Phi(z)) from mpmath with 100 digits.
TEST(LogImprovement, MatchesMultiplePrecision) {
  const double expected[][2] = {{3, 1.0987396653277078},      {0, -0.91893853320467274},
                                {-0.5, -1.6205162643873199},  {-1, -2.4851210257126413},
                                {-1.5, -3.5299359208057099},  {-5, -16.74430116266099},
                                {-24.9, -317.35848574266734}, {-25.1, -322.37440987246407},
                                {-100, -5010.1295788002498},  {-1e4, -50000019.339619307}};
  for (const auto& [z, value] : expected) {
    EXPECT_NEAR(LogImprovement(z), value, 1e-9 * std::max(1.0, std::abs(value))) << z;
  }
}

TEST(LogImprovement, RisesEverywhere) {
  double previous = LogImprovement(-60);
  for (double z = -59.99; z < 10; z += 0.01) {
    const double value = LogImprovement(z);
    EXPECT_GT(value, previous) << z;
    previous = value;
  }
}

TEST(LogExpectedImprovement, WithoutUncertainty) {
  EXPECT_DOUBLE_EQ(LogExpectedImprovement(1, 0, 3), std::log(2));
  EXPECT_EQ(LogExpectedImprovement(3, 0, 3), -std::numeric_limits<double>::infinity());
}

TEST(LogExpectedImprovement, ScalesWithTheObjective) {
  EXPECT_NEAR(LogExpectedImprovement(20, 30, 10), LogExpectedImprovement(2, 3, 1) + std::log(10),
              1e-12);
}

TEST(LogSumExp, NeitherOverflowsNorUnderflows) {
  const double logs[] = {-1000, -1001};
  EXPECT_NEAR(LogSumExp(logs), -1000 + std::log1p(std::exp(-1)), 1e-12);
  EXPECT_EQ(LogSumExp({}), -std::numeric_limits<double>::infinity());
}

TEST(Staircase, HypervolumeOfKnownFronts) {
  const Staircase::Point worst{10, 5};
  EXPECT_DOUBLE_EQ(Staircase({}, worst).Hypervolume(), 0);
  EXPECT_DOUBLE_EQ(Staircase({{2, 3}}, worst).Hypervolume(), 8 * 2);
  EXPECT_DOUBLE_EQ(Staircase({{2, 3}, {6, 1}, {7, 2}, {11, 0}}, worst).Hypervolume(),
                   4 * 2 + 4 * 4);
  EXPECT_DOUBLE_EQ(Staircase({{2, 3}, {2, 1}, {2, 4}}, worst).Hypervolume(), 8 * 4);
}

// Against the hypervolume itself, over draws of the value.
TEST(Staircase, ExpectedImprovementMatchesSampling) {
  const Staircase::Point worst{10, 5};
  const std::vector<Staircase::Point> front = {{1, 4.5}, {3, 2}, {6, 1}};
  const Staircase staircase(front, worst);
  Random random(5);
  for (const double cost : {0.5, 1.0, 4.0, 9.0}) {
    for (const double mean : {0.5, 2.5, 6.0}) {
      const double deviation = 1.2;
      double sum = 0;
      constexpr int kDraws = 40000;
      for (int i = 0; i < kDraws; ++i) {
        Staircase more = staircase;
        more.Add({cost, mean + deviation * random.Normal()});
        sum += more.Hypervolume() - staircase.Hypervolume();
      }
      EXPECT_NEAR(std::exp(staircase.LogExpectedImprovement(cost, mean, deviation)), sum / kDraws,
                  0.02 + 0.03 * sum / kDraws)
          << cost << " " << mean;
    }
  }
  EXPECT_EQ(staircase.LogExpectedImprovement(10, 0, 1), -std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace lathe::search
