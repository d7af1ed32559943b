#include "latency/drift.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe::latency {
namespace {

TEST(Smooth, KeepsLinesAndIgnoresTheOddDisturbance) {
  std::vector<double> at, values;
  for (int i = 0; i < 60; ++i) {
    at.push_back(i);
    values.push_back(0.001 * i);
  }
  const std::vector<double> to = {0, 7.5, 30, 59};
  const std::vector<double> smooth = Smooth(at, values, to, 3);
  for (size_t i = 0; i < to.size(); ++i) EXPECT_NEAR(smooth[i], 0.001 * to[i], 0.002) << to[i];
  values[30] = 1;
  EXPECT_NEAR(Smooth(at, values, {30}, 3)[0], 0.03, 0.02);
}

TEST(SmoothingWidth, SpansASensibleNumberOfPoints) {
  EXPECT_EQ(SmoothingWidth({0, 1, 2, 3}, 6), 6);
  EXPECT_EQ(SmoothingWidth({0, 0.1, 0.2, 0.3}, 6), 0.8);
  EXPECT_EQ(SmoothingWidth({0, 10, 20, 30}, 6), 20);
}

TEST(ReferenceSlowness, IsRelativeToTheUsual) {
  std::vector<ReferenceTime> times;
  for (int i = 0; i < 40; ++i) {
    times.push_back({.seconds = double(10 * i), .latency_us = i < 20 ? 100.0 : 120.0});
  }
  const std::vector<double> slowness = ReferenceSlowness(times, {50, 350});
  EXPECT_NEAR(slowness[1] - slowness[0], std::log(1.2), 0.01);
  EXPECT_EQ(ReferenceSlowness({}, {50, 350}), std::vector<double>(2));
}

TEST(UndisturbedUs, IsTheMedianUnlessMostRunsWereDisturbed) {
  EXPECT_EQ(UndisturbedUs({.median_us = 104, .p10_us = 100, .p90_us = 400, .runs = 50}), 104);
  EXPECT_NEAR(UndisturbedUs({.median_us = 300, .p10_us = 100, .p90_us = 400, .runs = 50}), 105,
              1e-9);
}

}  // namespace
}  // namespace lathe::latency
