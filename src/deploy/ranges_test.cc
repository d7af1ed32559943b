#include "deploy/ranges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace lathe::deploy {
namespace {

Distribution Of(const std::vector<float>& values) {
  const auto [low, high] = std::ranges::minmax_element(values);
  Distribution distribution;
  distribution.range = {.low = *low, .high = *high};
  for (const float value : values) distribution.Count(value);
  return distribution;
}

std::vector<float> Normal(int count, double deviation) {
  Random random(3);
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<float>(deviation * random.Normal()));
  return values;
}

TEST(Ranges, MinMaxIsEverything) {
  const onnx::Range range = ChooseRange(Of({-1, 0.5f, 3}), RangeMethod::kMinMax);
  EXPECT_EQ(range, (onnx::Range{-1, 3}));
}

TEST(Ranges, OneOutlierIsClippedByTheOthers) {
  std::vector<float> values = Normal(100'000, 1);
  values.push_back(20);
  const Distribution distribution = Of(values);
  // The largest 0.01 % of normal magnitudes begin at 3.89 standard deviations.
  EXPECT_NEAR(ChooseRange(distribution, RangeMethod::kPercentile).high, 3.9, 0.3);
  const onnx::Range entropy = ChooseRange(distribution, RangeMethod::kEntropy);
  EXPECT_LT(entropy.high, 10);
  EXPECT_GT(entropy.high, 2.5);
  EXPECT_GT(entropy.low, -6) << "never wider than the values";
}

TEST(Ranges, EvenValuesAreKeptWhole) {
  Random random(1);
  std::vector<float> values;
  for (int i = 0; i < 100'000; ++i) values.push_back(static_cast<float>(6 * random.Uniform()));
  EXPECT_GT(ChooseRange(Of(values), RangeMethod::kEntropy).high, 5.5);
}

// What a ReLU leaves must stay without negative values, and zeros must not count: most are.
TEST(Ranges, OneSidedStaysOneSided) {
  std::vector<float> values = Normal(50'000, 2);
  for (float& value : values) value = std::max(value, 0.0f);
  for (const RangeMethod method : kRangeMethods) {
    const onnx::Range range = ChooseRange(Of(values), method);
    EXPECT_EQ(range.low, 0) << Name(method);
    EXPECT_GT(range.high, 4) << Name(method);
  }
}

TEST(Ranges, NothingButZeros) {
  for (const RangeMethod method : kRangeMethods)
    EXPECT_EQ(ChooseRange(Of({0, 0, 0}), method), (onnx::Range{0, 0}));
}

TEST(Ranges, NamesReadBack) {
  for (const RangeMethod method : kRangeMethods) EXPECT_EQ(RangeMethodOf(Name(method)), method);
  EXPECT_EQ(RangeMethodOf("best"), std::nullopt);
}

}  // namespace
}  // namespace lathe::deploy
