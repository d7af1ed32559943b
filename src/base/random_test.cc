#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace lathe {
namespace {

// Outputs of the authors' splitmix64.c for the seed 1234567.
TEST(RandomTest, MixIsSplitMix64) {
  constexpr uint64_t kGamma = 0x9e3779b97f4a7c15ULL;
  EXPECT_EQ(Mix(1234567), 6457827717110365317ULL);
  EXPECT_EQ(Mix(1234567 + kGamma), 3203168211198807973ULL);
  EXPECT_EQ(Mix(1234567 + 2 * kGamma), 9817491932198370423ULL);
}

// Outputs of the authors' xoshiro256starstar.c for the state 1, 2, 3, 4.
TEST(RandomTest, StreamIsXoshiro256StarStar) {
  Random random(0);
  random.set_state({1, 2, 3, 4});
  const std::vector<uint64_t> expected = {11520ULL,
                                          0ULL,
                                          1509978240ULL,
                                          1215971899390074240ULL,
                                          1216172134540287360ULL,
                                          607988272756665600ULL,
                                          16172922978634559625ULL,
                                          8476171486693032832ULL,
                                          10595114339597558777ULL,
                                          2904607092377533576ULL};
  for (uint64_t value : expected) EXPECT_EQ(random(), value);
}

TEST(RandomTest, StateRestoresTheStream) {
  Random random(7);
  random();
  Random copy(8);
  copy.set_state(random.state());
  EXPECT_EQ(copy(), random());
}

TEST(RandomTest, SubSeedsDependOnEveryArgument) {
  const std::set<uint64_t> seeds = {SubSeed(1, "trial", 0), SubSeed(2, "trial", 0),
                                    SubSeed(1, "trial", 1), SubSeed(1, "trial", 2),
                                    SubSeed(1, "sobol", 0), SubSeed(0, "", 0)};
  EXPECT_EQ(seeds.size(), 6u);
  EXPECT_EQ(SubSeed(1, "trial", 17), SubSeed(1, "trial", 17));
}

TEST(RandomTest, UniformFillsTheUnitInterval) {
  constexpr int kDraws = 100'000;
  constexpr int kBins = 20;
  Random random(42);
  std::vector<int> bins(kBins);
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.Uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
    ++bins[static_cast<size_t>(value * kBins)];
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.004);
  double chi_square = 0;
  for (int count : bins) chi_square += std::pow(count - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi_square, 43.8);  // 19 degrees of freedom, p = 0.001
}

TEST(RandomTest, NormalHasTheMomentsOfANormal) {
  constexpr int kDraws = 200'000;
  Random random(43);
  double sum = 0, squares = 0, fourths = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.Normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    fourths += value * value * value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.01);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.015);
  EXPECT_NEAR(fourths / kDraws, 3.0, 0.1);
}

TEST(RandomTest, BelowIsUniform) {
  constexpr int kDraws = 60'000;
  Random random(44);
  std::vector<int> counts(6);
  for (int i = 0; i < kDraws; ++i) ++counts.at(random.Below(6));
  for (int count : counts) EXPECT_NEAR(count, kDraws / 6, 400);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.Below(1), 0u);
}

// A plain remainder would put two thirds of the values into the lower half of this bound.
TEST(RandomTest, BelowHasNoModuloBias) {
  constexpr uint64_t kBound = (uint64_t{1} << 63) + (uint64_t{1} << 62);
  constexpr int kDraws = 20'000;
  Random random(45);
  int low = 0;
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = random.Below(kBound);
    ASSERT_LT(value, kBound);
    low += value < kBound / 2;
  }
  EXPECT_NEAR(low, kDraws / 2, 300);
}

TEST(RandomTest, ShuffleMakesEveryOrderEquallyOften) {
  Random random(46);
  std::vector<int> counts(6);
  for (int i = 0; i < 6000; ++i) {
    std::vector<int> values = {0, 1, 2};
    random.Shuffle(std::span<int>(values));
    std::vector<int> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(sorted, (std::vector<int>{0, 1, 2}));
    ++counts[static_cast<size_t>(2 * values[0] + (values[1] > values[2]))];
  }
  for (int count : counts) EXPECT_NEAR(count, 1000, 140);
}

}  // namespace
}  // namespace lathe
