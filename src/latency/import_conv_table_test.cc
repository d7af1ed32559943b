#include "latency/import_conv_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latency/import_conv_testing.h"
#include "latency/import_parts.h"

namespace lathe::latency {
namespace {

// Between the grid's shapes, in every group.
const char* const kBetween[] = {
    "conv_i144x14x14_o240x14x14_k1_s1",   "conv_i144x24x24_o176x24x24_k3_s1_add",
    "conv_i40x112x112_o80x56x56_k5_s2",   "conv_i480x28x28_o480x28x28_k5_s1_g480",
    "conv_i96x75x75_o96x38x38_k3_s2_g96", "conv_i3x224x224_o24x112x112_k3_s2",
};

TEST(ConvTable, FindsTheLawBetweenTheShapes) {
  const ConvTable table(LawTimings());
  for (const char* key : kBetween) {
    const Part part = PartOf(key);
    ASSERT_TRUE(table.Predict(part)) << key;
    EXPECT_NEAR(*table.Predict(part) / LawUs(part), 1, 0.04) << key;
  }
}

TEST(ConvTable, ForgetsSingleOutliers) {
  std::vector<ConvTiming> timings = LawTimings();
  for (size_t i = 0; i < timings.size(); i += 17) timings[i].latency_us *= 3;
  const ConvTable table(timings);
  for (const char* key : kBetween) {
    const Part part = PartOf(key);
    EXPECT_NEAR(*table.Predict(part) / LawUs(part), 1, 0.1) << key;
  }
}

TEST(ConvTable, KnowsWhatItDoesNotKnow) {
  const ConvTable table(LawTimings());
  EXPECT_FALSE(table.Predict(PartOf("conv_i64x14x14_o64x14x14_k9_s1")));
  EXPECT_FALSE(table.Predict(PartOf("conv_i64x14x14_o64x5x5_k3_s3")));
  EXPECT_FALSE(table.Predict(PartOf("conv_i64x14x14_o64x14x14_k3_s1_g64_add")));
}

TEST(ConvTable, TakesSmallerImagesForTheSmallest) {
  const ConvTable table(LawTimings());
  EXPECT_EQ(*table.Predict(PartOf("conv_i768x1x1_o32x1x1_k1_s1")),
            *table.Predict(PartOf("conv_i768x5x5_o32x5x5_k1_s1")));
}

TEST(ConvTable, HeldOutErrorsOfTheLawAreSmall) {
  const InterpolationError error = ConvTable::HoldOut(LawTimings(), 0.1, 1);
  EXPECT_GT(error.count, 100);
  EXPECT_LT(error.median, 0.02);
  EXPECT_LT(error.p95, 0.1);
}

// Two neighbouring shapes of the table often differ by 10 % and now and then by 100 %, as kernels
// are chosen from a list.
TEST(ConvTable, HeldOutErrorsOfTheV100Table) {
  if (!std::filesystem::exists(kV100Table)) GTEST_SKIP() << "SKIPPED: no table at " << kV100Table;
  const ConvTimings timings = ReadConvTimings(kV100Table, 1);
  EXPECT_EQ(timings.timings.size() + static_cast<size_t>(timings.failed), 29382U);
  const InterpolationError error = ConvTable::HoldOut(timings.timings, 0.1, 1);
  EXPECT_GT(error.count, 2500);
  EXPECT_LT(error.median, 0.09);
  EXPECT_LT(error.p95, 0.40);
  EXPECT_NEAR(error.bias, 0, 0.02);
}

TEST(PartsAlone, ModelsWhatIsNotInTheTable) {
  const ConvTable table(LawTimings());
  PartsAlone alone{table};
  const double shortest = table.shortest_us(), rate = table.values_per_us();
  EXPECT_DOUBLE_EQ(*alone.Predict(PartOf("pool_i96x7x7")), shortest + 96 * 49 / rate);
  EXPECT_DOUBLE_EQ(*alone.Predict(PartOf("scale_i96x7x7")), shortest + 2 * 96 * 49 / rate);
  EXPECT_EQ(*alone.Predict(PartOf("linear_i1280_o1000")),
            *table.Predict(PartOf("conv_i1280x5x5_o1000x5x5_k1_s1")));
  EXPECT_EQ(*alone.Predict(PartOf("conv_i64x14x14_o64x14x14_k1_s1_swish")),
            *table.Predict(PartOf("conv_i64x14x14_o64x14x14_k1_s1")));
  EXPECT_DOUBLE_EQ(*alone.Predict(PartOf("conv_i64x14x14_o96x14x14_k1_s1_g2")),
                   *table.Predict(PartOf("conv_i32x14x14_o96x14x14_k1_s1")) + 32 * 196 / rate);
}

TEST(PartsAlone, AnAdditionCostsNoMoreThanItsTraffic) {
  std::vector<ConvTiming> timings = LawTimings();
  for (ConvTiming& timing : timings) {
    if (timing.part.add) timing.latency_us *= 2;
  }
  const ConvTable table(timings);
  PartsAlone alone{table};
  EXPECT_DOUBLE_EQ(
      *alone.Predict(PartOf("conv_i384x14x14_o96x14x14_k1_s1_add")),
      *table.Predict(PartOf("conv_i384x14x14_o96x14x14_k1_s1")) + 96 * 196 / table.values_per_us());
}

}  // namespace
}  // namespace lathe::latency
