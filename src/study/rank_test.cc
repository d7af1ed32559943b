#include "study/rank.h"

#include <gtest/gtest.h>

#include <cmath>

#include "study/controller.h"
#include "study/objective.h"

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
  EXPECT_EQ(Numbers(Rank(trials, {.latency_budget_us = 200})),
            (std::vector<int64_t>{3, 2, 0, 4, 6}));
  EXPECT_EQ(Numbers(Rank(trials, {.latency_budget_us = 200, .accuracy = 0.9})),
            (std::vector<int64_t>{3, 2, 0}));
  EXPECT_TRUE(Rank(trials, {.latency_budget_us = 5}).empty());
}

TEST(Rank, OfAFrontLeavesOutWhatOthersBeat) {
  const std::vector<TrialRecord> trials = {Complete(0, 0.90, 100), Complete(1, 0.85, 110),
                                           Complete(2, 0.93, 200), Complete(3, 0.93, 190),
                                           Complete(4, 0.80, 50),  Complete(5, 0.99, 300)};
  const RankOptions options{.latency_budget_us = 250, .goal = search::Goal::kFront};
  EXPECT_EQ(Numbers(Rank(trials, options)), (std::vector<int64_t>{3, 0, 4}));
}

TEST(StudyObjective, FollowsTheGoal) {
  StudyObjective objective{.aim = Aim::kWeighted, .weights = {.alpha = 0.5, .beta = 2}};
  EXPECT_EQ(objective.metric(), "loss");
  EXPECT_DOUBLE_EQ(objective.Of(0.25, 2000), 0.25 + 0.5 * 4);
  EXPECT_EQ(objective.Measured(0.25), 0.25);
  EXPECT_EQ(ToText(objective), "weighted, alpha 0.5, beta 2");
  for (const Aim aim : {Aim::kAccuracy, Aim::kFront}) {
    objective.aim = aim;
    EXPECT_EQ(objective.metric(), "accuracy");
    EXPECT_DOUBLE_EQ(objective.Of(0.875, 2000), 0.125) << "latency is in it for nothing";
    EXPECT_EQ(objective.goal() == search::Goal::kFront, aim == Aim::kFront);
    EXPECT_EQ(ParseAim(Name(aim)), aim);
  }
}

TEST(TrialFolderName, SortsLikeTheNumbers) {
  EXPECT_EQ(TrialFolderName(123), "000123");
  EXPECT_EQ(TrialFolderName(1234567), "1234567");
}

}  // namespace
}  // namespace lathe::study
