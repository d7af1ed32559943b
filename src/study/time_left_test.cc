#include "study/time_left.h"

#include <gtest/gtest.h>

namespace lathe::study {
namespace {

TEST(TimeLeftTest, OneSlotAfterTheOther) {
  EXPECT_DOUBLE_EQ(*SecondsLeft({.durations = {10, 20}, .to_start = 3}), 45);
}

TEST(TimeLeftTest, SlotsWorkInRounds) {
  // 100 trials of a minute on 64 slots that have just been filled: two rounds, not 100 / 64.
  const Workload work{
      .durations = {60}, .running = std::vector<double>(64, 0.0), .to_start = 36, .slots = 64};
  EXPECT_DOUBLE_EQ(*SecondsLeft(work), 120);
}

TEST(TimeLeftTest, WhatRunsIsPartlyDone) {
  EXPECT_DOUBLE_EQ(*SecondsLeft({.durations = {60}, .running = {45, 20}, .slots = 2}), 40);
  // The slot that is free first takes the last trial.
  EXPECT_DOUBLE_EQ(
      *SecondsLeft({.durations = {60}, .running = {45, 20}, .to_start = 1, .slots = 2}), 75);
}

TEST(TimeLeftTest, TrialsThatRunLongAreLongOnes) {
  // Half are pruned after 10 s; one that runs for 20 s is none of these.
  EXPECT_DOUBLE_EQ(*SecondsLeft({.durations = {10, 10, 90, 110}, .running = {20}}), 80);
  EXPECT_DOUBLE_EQ(*SecondsLeft({.durations = {50, 50}, .running = {70}}), 5);
}

TEST(TimeLeftTest, NobodyKnowsOrNothingIsLeft) {
  EXPECT_EQ(SecondsLeft({.durations = {}, .running = {5}, .to_start = 2}), std::nullopt);
  EXPECT_EQ(SecondsLeft({.durations = {10}, .to_start = 2, .slots = 0}), std::nullopt);
  EXPECT_EQ(SecondsLeft({.durations = {}, .slots = 4}), 0);
}

}  // namespace
}  // namespace lathe::study
