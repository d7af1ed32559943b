#include "report/effects.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace lathe::report {
namespace {

TEST(ExplainedShareTest, KnownAnswer) {
  // scipy.stats.f_oneway gives F = 48 for these; epsilon^2 = (F - 1) * 2 / (F * 2 + 9).
  const std::vector<int> choices = {3, 3, 3, 3, 5, 5, 5, 5, 7, 7, 7, 7};
  const std::vector<double> values = {1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6};
  const double between = 12 * 8.0 / 3, within = 3;  // sums of squares
  const double f = (between / 2) / (within / 9);
  EXPECT_NEAR(*ExplainedShare(choices, values), (f - 1) * 2 / (f * 2 + 9), 1e-12);
}

TEST(ExplainedShareTest, ChanceExplainsNothing) {
  Random random(7);
  std::vector<int> choices(2000);
  std::vector<double> values(2000);
  for (size_t i = 0; i < values.size(); ++i) {
    choices[i] = static_cast<int>(random.Below(40));
    values[i] = random.Uniform();
  }
  EXPECT_LT(*ExplainedShare(choices, values), 0.02);
}

TEST(ExplainedShareTest, SaysNothingOfTooLittle) {
  const std::vector<double> nine(9, 1.0), equal(20, 0.3);
  EXPECT_FALSE(ExplainedShare(std::vector<int>(9, 3), nine));
  EXPECT_FALSE(ExplainedShare(std::vector<int>(20, 3), equal));
  std::vector<int> distinct;
  std::vector<double> values;
  for (int i = 0; i < 20; ++i) {
    distinct.push_back(i);
    values.push_back(i);
  }
  EXPECT_FALSE(ExplainedShare(distinct, values));
}

TEST(ExplainedShareTest, LeavesOutWhatHasNoResult) {
  std::vector<int> choices = {3, 3, 3, 3, 3, 5, 5, 5, 5, 5};
  std::vector<double> values = {1, 2, 1, 2, 1, 3, 4, 3, 4, 3};
  const double share = *ExplainedShare(choices, values);
  choices.push_back(3);
  values.push_back(std::nan(""));
  EXPECT_DOUBLE_EQ(*ExplainedShare(choices, values), share);
}

}  // namespace
}  // namespace lathe::report
