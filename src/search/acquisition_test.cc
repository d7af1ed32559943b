#include "search/acquisition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

}  // namespace
}  // namespace lathe::search
