// Ranking; the loop itself is tested in executor/controller_test.cc, with a scripted executor.
#include "study/controller.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe::study {
namespace {

TrialRecord Complete(int64_t number, double accuracy, double latency_us) {
  TrialRecord trial;
  trial.number = number;
  trial.state = TrialState::kComplete;
  trial.latency_us = latency_us;
  trial.metrics = {{"accuracy", accuracy}};
  return trial;
}

std::vector<int64_t> Numbers(const std::vector<TrialRecord>& trials) {
  std::vector<int64_t> numbers;
  for (const TrialRecord& trial : trials) numbers.push_back(trial.number);
  return numbers;
}

TEST(Rank, TakesWhatMeetsBothTargetsBestFirst) {
  std::vector<TrialRecord> trials = {Complete(0, 0.90, 100),       Complete(1, 0.95, 201),
                                     Complete(2, 0.93, 200),       Complete(3, 0.93, 150),
                                     Complete(4, 0.80, 50),        Complete(5, 0.99, 10),
                                     Complete(6, std::nan(""), 10)};
  trials[5].state = TrialState::kFail;
  EXPECT_EQ(Numbers(Rank(trials, 200)), (std::vector<int64_t>{3, 2, 0, 4, 6}));
  EXPECT_EQ(Numbers(Rank(trials, 200, 0.9)), (std::vector<int64_t>{3, 2, 0}));
  EXPECT_TRUE(Rank(trials, 5).empty());
}

TEST(TrialFolderName, SortsLikeTheNumbers) {
  EXPECT_EQ(TrialFolderName(123), "000123");
  EXPECT_EQ(TrialFolderName(1234567), "1234567");
}

}  // namespace
}  // namespace lathe::study
