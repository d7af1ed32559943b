#include "search/beliefs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace lathe::search {
namespace {

Candidate Named(int name) { return {.encoding = {name}, .features = {}, .latency_us = 1}; }

// Known answer: numpy.polyfit and the textbook's scale of a prediction for these five points, with
// the variance of Student's t with three degrees of freedom.
TEST(Forecast, IsTheLeastSquaresLineWhereLatenciesAreEqual) {
  const std::vector<Forecast::Pair> pairs = {
      {1.0, 0.52}, {2.0, 0.98}, {3.0, 1.55}, {4.0, 2.01}, {5.0, 2.44}};
  const Forecast::Promise promise = Forecast(pairs).Of(6.0);
  EXPECT_NEAR(promise.value, 2.961, 1e-9);
  EXPECT_NEAR(promise.variance, 3 * 0.00177 * (1 + 1.0 / 5 + 9.0 / 10), 1e-9);
}

// The end is the value at the step less half the log latency, which hardly depend on each other.
TEST(Forecast, LearnsThatLargeNetworksFallLater) {
  std::vector<Forecast::Pair> pairs;
  for (int i = 0; i < 40; ++i) {
    const double start = 2 + 0.1 * (i * 7 % 10), log_latency = 0.2 * (i % 8);
    pairs.push_back({start, start - 0.5 * log_latency, std::exp(log_latency)});
  }
  const Forecast forecast(pairs);
  const double small = forecast.Of(2.5, std::exp(0.2)).value;
  const double large = forecast.Of(2.5, std::exp(1.2)).value;
  EXPECT_NEAR(small - large, 0.5, 0.01);
  EXPECT_LT(forecast.Of(2.5, std::exp(0.7)).variance, 0.005) << "the line alone leaves 0.05";
}

// Where latencies say nothing, the plane leans less on them than least squares would: by 0.054 on
// average, for two standard deviations of them.
TEST(Forecast, LeansLittleOnLatenciesThatSayNothing) {
  Random random(7);
  double sum = 0;
  constexpr int kForecasts = 200;
  for (int round = 0; round < kForecasts; ++round) {
    std::vector<Forecast::Pair> pairs;
    for (int i = 0; i < 8; ++i) {
      const double log_latency = i % 2 == 0 ? -1 : 1;
      pairs.push_back({1.0 * i, i + 0.1 * random.Normal(), std::exp(log_latency)});
    }
    const Forecast forecast(pairs);
    sum += std::abs(forecast.Of(3, std::exp(1.0)).value - forecast.Of(3, std::exp(-1.0)).value);
  }
  EXPECT_LT(sum / kForecasts, 0.05);
}

TEST(Forecast, NeverFalls) {
  const std::vector<Forecast::Pair> pairs = {{1, 5}, {2, 4}, {3, 3}, {4, 2}, {5, 1}};
  EXPECT_DOUBLE_EQ(Forecast(pairs).Of(9).value, 3);
}

TEST(Beliefs, PrunedAndRunningTrialsAreForetoldFromCompleteCurves) {
  History history;
  for (int trial = 0; trial < 8; ++trial) {
    history.Add(trial, Named(trial));
    history.Report(trial, 1, 10 + trial);
  }
  for (int trial = 0; trial < 5; ++trial) {
    history.Report(trial, 2, 5 + trial);
    history.Tell(trial, trial + 0.5);
  }
  const Moment before = history.now();
  history.Tell(5, {});  // pruned
  const Beliefs beliefs = BeliefsOf(history, history.now());
  ASSERT_EQ(beliefs.size(), 8u);
  EXPECT_EQ(beliefs.complete, 5u);
  EXPECT_EQ(beliefs.pending.size(), 2u);
  EXPECT_NEAR(beliefs.values[5], 5.5, 1e-9) << "the end is what step 1 says, less 9.5";
  EXPECT_EQ(BeliefsOf(history, before).pending.size(), 3u);
  EXPECT_EQ(BeliefsOf(history, 0).size(), 0u);
}

TEST(Beliefs, BeforeAnyResultTheLastCommonStepStandsForIt) {
  History history;
  for (int trial = 0; trial < 7; ++trial) {
    history.Add(trial, Named(trial));
    history.Report(trial, 1, trial);
    if (trial < 2) history.Report(trial, 2, trial - 1);
  }
  const Beliefs beliefs = BeliefsOf(history, history.now());
  EXPECT_EQ(beliefs.size(), 7u);
  EXPECT_EQ(beliefs.complete, 0u);
  EXPECT_EQ(beliefs.values[6], 6);
}

TEST(Beliefs, TrialsWithoutResultOrReportSayNothing) {
  History history;
  history.Add(0, Named(0));
  history.Tell(0, {});
  history.Add(1, Named(1));
  history.Report(1, 1, std::nan(""));
  history.Tell(1, std::nan(""));
  EXPECT_EQ(BeliefsOf(history, history.now()).size(), 0u);
}

}  // namespace
}  // namespace lathe::search
