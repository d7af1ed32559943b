#include "search/pruner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace lathe::search {
namespace {

TEST(Pruner, HalvingKeepsTheBestThird) {
  const auto pruner =
      MakePruner({.rule = "halving", .first_step = 2, .reduction = 3, .startup = 1});
  EXPECT_FALSE(pruner->Report(0, 1, 1, 100)) << "between the steps nothing is decided";
  EXPECT_FALSE(pruner->Report(0, 1, 2, 0.5)) << "the first one is the best so far";
  EXPECT_TRUE(pruner->Report(1, 1, 2, 0.6));
  EXPECT_FALSE(pruner->Report(2, 1, 2, 0.4));
  EXPECT_TRUE(pruner->Report(3, 1, 2, 0.45)) << "second of four";
  EXPECT_TRUE(pruner->Report(4, 1, 2, 0.7));
  EXPECT_FALSE(pruner->Report(5, 1, 2, 0.41)) << "second of six";
  EXPECT_FALSE(pruner->Report(5, 1, 4, 100));
  EXPECT_FALSE(pruner->Report(5, 1, 6, 0.3)) << "the next rung starts anew";
  EXPECT_TRUE(pruner->Report(2, 1, 6, 0.31));
}

TEST(Pruner, HalvingLetsTheFirstFewGoOn) {
  const auto pruner = MakePruner({.rule = "halving", .reduction = 3, .startup = 2});
  EXPECT_FALSE(pruner->Report(0, 1, 1, 0.5));
  EXPECT_FALSE(pruner->Report(1, 1, 1, 0.6)) << "second of two";
  EXPECT_TRUE(pruner->Report(2, 1, 1, 0.7));
  EXPECT_FALSE(pruner->Report(3, 1, 1, 0.55)) << "second of four";
  EXPECT_TRUE(pruner->Report(4, 1, 1, 0.58));
}

// Losses fall by 1 from step 1 to step 3, give or take `noise`.
TEST(Pruner, HalvingKeepsWhatCannotBeTold) {
  const auto ends = [](double noise) {
    const auto pruner = MakePruner({.rule = "halving", .last_step = 3});
    for (int trial = 0; trial < 12; ++trial) {
      // The bad ones first, since those that go on are the first few and then the better ones.
      const double start = 2.55 - 0.05 * trial;
      EXPECT_FALSE(pruner->Report(trial, 1, 1, start));
      EXPECT_FALSE(pruner->Report(trial, 1, 3, start - 1 + (trial % 2 == 0 ? noise : -noise)));
    }
    return pruner->Report(12, 1, 1, 2.25);  // the seventh of thirteen
  };
  EXPECT_TRUE(ends(0.01));
  EXPECT_FALSE(ends(0.3));
}

TEST(Pruner, MedianWaitsForAFewThenEndsTheWorseHalf) {
  const auto pruner = MakePruner({.rule = "median", .first_step = 2});
  for (int trial = 0; trial < 5; ++trial) EXPECT_FALSE(pruner->Report(trial, 1, 2, trial));
  EXPECT_TRUE(pruner->Report(5, 1, 2, 3.5));
  EXPECT_FALSE(pruner->Report(6, 1, 2, 1.5));
  EXPECT_FALSE(pruner->Report(7, 1, 1, 99)) << "before the first step";
}

// Losses fall by 1 from step 1 to step 3, give or take 0.1.
TEST(Pruner, ForecastEndsWhatWillHardlyBeTheBest) {
  const PrunerOptions options{.rule = "forecast", .first_step = 1, .last_step = 3};
  const auto learned = [](const PrunerOptions& of) {
    auto pruner = MakePruner(of);
    const auto start = [](int trial) { return 2 + 0.1 * trial; };
    const auto latency_us = [](int trial) { return 100 + trial * 5 % 12; };
    for (int trial = 0; trial < 12; ++trial) {
      EXPECT_FALSE(pruner->Report(trial, latency_us(trial), 1, start(trial))) << "too few";
    }
    for (int trial = 0; trial < 12; ++trial) {
      const double end = start(trial) - 1 + (trial % 2 == 0 ? 0.1 : -0.1);
      EXPECT_FALSE(pruner->Report(trial, latency_us(trial), 3, end)) << "it is over";
    }
    return pruner;
  };
  const auto pruner = learned(options);
  EXPECT_FALSE(pruner->Report(20, 100, 1, 2.2)) << "as good as the best";
  EXPECT_FALSE(pruner->Report(21, 100, 1, 2.3)) << "worse, but no surprise";
  EXPECT_TRUE(pruner->Report(22, 100, 1, 4.0));
  EXPECT_FALSE(pruner->Report(23, 100, 2, 4.0)) << "nobody has reported after the second";
  EXPECT_TRUE(pruner->Report(24, 100, 2, std::nan("")));
  EXPECT_FALSE(
      learned({.rule = "forecast", .first_step = 2, .last_step = 3})->Report(22, 100, 1, 4.0));
  PrunerOptions front = options;
  front.goal = Goal::kFront;
  EXPECT_FALSE(learned(front)->Report(25, 99, 1, 4.0)) << "the fastest so far";
  EXPECT_TRUE(learned(front)->Report(26, 110, 1, 4.0));
}

TEST(Pruner, ForecastWaitsForFiveCompleteTrials) {
  const auto pruner = MakePruner({.rule = "forecast", .first_step = 1, .last_step = 3});
  for (int trial = 0; trial < 5; ++trial) {
    EXPECT_FALSE(pruner->Report(10 + trial, 1, 1, 4.0)) << trial;
    pruner->Report(trial, 1, 1, 2 + 0.1 * trial);
    pruner->Report(trial, 1, 3, 1 + 0.1 * trial);
  }
  EXPECT_TRUE(pruner->Report(15, 1, 1, 4.0));
}

TEST(Pruner, OnAFrontOnlyThoseThatAreNotSlowerCount) {
  const auto pruner = MakePruner({.rule = "halving", .startup = 1, .goal = Goal::kFront});
  for (int trial = 0; trial < 6; ++trial) pruner->Report(trial, 100, 1, 0.1);
  EXPECT_FALSE(pruner->Report(6, 50, 1, 0.9)) << "the fastest so far";
  EXPECT_TRUE(pruner->Report(7, 100, 1, 0.9));
  EXPECT_TRUE(pruner->Report(8, 60, 1, 0.95)) << "slower and worse than trial 6";
}

TEST(Pruner, EndsWhatDivergedAndRefusesNonsense) {
  EXPECT_TRUE(MakePruner({.rule = "median"})->Report(0, 1, 1, std::nan("")));
  EXPECT_FALSE(MakePruner({})->Report(0, 1, 1, std::nan("")));
  EXPECT_THROW(MakePruner({.rule = "halving", .first_step = 0}), Error);
  EXPECT_THROW(MakePruner({.rule = "halving", .reduction = 1}), Error);
  EXPECT_THROW(MakePruner({.rule = "halving", .startup = 0}), Error);
  try {
    MakePruner({.rule = "halfing"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("did you mean 'halving'?"));
  }
}

}  // namespace
}  // namespace lathe::search
