#include "latency/stats.h"

#include <gtest/gtest.h>

#include <vector>

namespace lathe::latency {
namespace {

// numpy.quantile's default method.
TEST(Quantile, InterpolatesLikeNumpy) {
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 0.1), 1.3);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_DOUBLE_EQ(Quantile({7}, 0.9), 7);
  EXPECT_DOUBLE_EQ(Median({9, 1, 5}), 5);
}

TEST(WeightedMedian, CountsValuesByTheirWeight) {
  const std::vector<double> values = {5, 1, 9};
  EXPECT_EQ(WeightedMedian(values, std::vector<double>{1, 1, 1}), 5);
  EXPECT_EQ(WeightedMedian(values, std::vector<double>{1, 5, 1}), 1);
  EXPECT_EQ(WeightedMedian(values, std::vector<double>{1, 0, 3}), 9);
}

// The IQ and TV hours example of Wikipedia's "Spearman's rank correlation coefficient", and
// scipy.stats.spearmanr for ties.
TEST(Spearman, KnownAnswers) {
  const std::vector<double> iq = {106, 100, 86, 101, 99, 103, 97, 113, 112, 110};
  const std::vector<double> tv = {7, 27, 2, 50, 28, 29, 20, 12, 6, 17};
  EXPECT_NEAR(Spearman(iq, tv), -29.0 / 165, 1e-12);
  const std::vector<double> a = {1, 2, 2, 3};
  const std::vector<double> b = {1, 3, 2, 4};
  EXPECT_NEAR(Spearman(a, b), 0.9486832980505138, 1e-12);
  const std::vector<double> constant = {5, 5, 5, 5};
  EXPECT_EQ(Spearman(a, constant), 0);
}

TEST(Compare, KnownAnswers) {
  const std::vector<double> predicted = {110, 190, 300};
  const std::vector<double> measured = {100, 200, 300};
  const ErrorBand band = Compare(predicted, measured);
  EXPECT_NEAR(band.mape, 0.05, 1e-12);
  EXPECT_NEAR(band.bias, 0.05 / 3, 1e-12);
  EXPECT_NEAR(band.p95, 0.095, 1e-12);
  EXPECT_DOUBLE_EQ(band.spearman, 1);
  EXPECT_EQ(band.networks, 3);
}

}  // namespace
}  // namespace lathe::latency
