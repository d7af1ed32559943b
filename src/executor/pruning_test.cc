// Trials that the controller ends early, against a scripted executor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "executor/controller_testing.h"
#include "study/rank.h"

namespace lathe::executor {
namespace {

using study::SearchEnd;
using study::TrialRecord;
using study::TrialState;
using ::testing::HasSubstr;

// Halving over three epochs; every second trial learns nothing.
class Pruning : public Controller {
 protected:
  study::ControllerOptions Options() const {
    study::ControllerOptions options = Controller::Options();
    options.pruning = {.rule = "halving", .first_step = 1, .reduction = 2, .startup = 1};
    options.pruning.last_step = 3;
    return options;
  }

  FakeOptions Fake(int slots) {
    return {.slots = slots, .script = [&](int64_t trial, int) {
              FakeEnding ending = TrainInEpochs(trial, trial % 2 == 1 ? 5000 : 4);
              if (trial % 2 == 1) ending.losses = {9, 9, 9};
              return ending;
            }};
  }

  std::vector<TrialState> States() const {
    std::vector<TrialState> states;
    for (const TrialRecord& trial : Open().Trials()) states.push_back(trial.state);
    return states;
  }
  std::vector<std::string> Reasons() const {
    std::vector<std::string> reasons;
    for (const TrialRecord& trial : Open().Trials()) reasons.push_back(trial.reason);
    return reasons;
  }
};

TEST_F(Pruning, EndsTrialsThatPromiseLittle) {
  Bomb none;
  EXPECT_EQ(Run(Fake(2), Options(), none), SearchEnd::kTrialsDone);
  const std::vector<TrialRecord> trials = Open().Trials();
  ASSERT_EQ(trials.size(), 10u) << "pruned ones count";
  EXPECT_LT(none.calls(), 1000) << "they do not keep their slots";
  EXPECT_EQ(finished_.size(), 10u);
  const auto pruned = std::ranges::count(trials, TrialState::kPruned, &TrialRecord::state);
  EXPECT_GE(pruned, 5);
  EXPECT_EQ(trials[0].state, TrialState::kComplete) << "the best so far goes on";
  for (size_t i = 1; i < trials.size(); i += 2) {
    EXPECT_EQ(trials[i].state, TrialState::kPruned) << i;
    const double objective = 9 + 0.5 * trials[i].latency_us / 1000;
    EXPECT_EQ(trials[i].value, objective) << "the last one it reported";
    EXPECT_EQ(trials[i].reason,
              fmt::format("pruned after epoch 1: objective {:.4f} is not among the best 1/2 there",
                          objective));
    EXPECT_GT(trials[i].end, 0);
    EXPECT_TRUE(fs::exists(root_ / "trials" / study::TrialFolderName(trials[i].number)));
    EXPECT_THAT(calls_, ::testing::Contains(fmt::format("tell {} -", i)));
  }
  EXPECT_TRUE(study::Rank({trials[1]}, {.latency_budget_us = 1e9}).empty());
  const auto proposer = NewProposer("bayes");
  EXPECT_EQ(Replay(*proposer).proposals, 10);
}

TEST_F(Pruning, NeverAfterTheLastEpochNorWithAResult) {
  study::ControllerOptions options = Options();
  options.pruning.last_step = 1;
  Bomb none;
  Run(Fake(2), options, none);
  ExpectAllComplete(10);
  Reset();
  options.pruning.last_step = 3;
  // All epochs and the result within one look.
  const FakeOptions quick{.slots = 2, .script = [&](int64_t trial, int) {
                            for (int epoch = 1; epoch <= 3; ++epoch) {
                              study::AppendMetrics(
                                  root_ / "trials" / study::TrialFolderName(trial),
                                  {.step = epoch, .values = {{"loss", 1.0 + trial}}});
                            }
                            return Train(trial);
                          }};
  Run(quick, options, none);
  ExpectAllComplete(10);
  Reset();
  // The result is there, but the process is not gone yet.
  FakeOptions lingering = Fake(2);
  lingering.script = [&, script = lingering.script](int64_t trial, int start) {
    const FakeEnding ending = script(trial, start);
    study::WriteResult(root_ / "trials" / study::TrialFolderName(trial),
                       {.number = trial, .ok = true, .error = "", .metrics = ending.metrics});
    return ending;
  };
  Run(lingering, options, none);
  ExpectAllComplete(10);
  EXPECT_EQ(std::ranges::count_if(calls_, [](const auto& c) { return c.starts_with("report 1 "); }),
            3)
      << "all of it is told";
}

TEST_F(Pruning, KilledAnywhereItDecidesTheSame) {
  study::ControllerOptions options = Options();
  options.trials = 6;
  Bomb counter;
  Run(Fake(1), options, counter);
  const std::vector<std::vector<int>> encodings = Encodings();
  const std::vector<TrialState> states = States();
  const std::vector<std::string> reasons = Reasons();
  EXPECT_GE(std::ranges::count(states, TrialState::kPruned), 3);
  for (int at = 0; at < counter.calls(); ++at) {
    Reset();
    Bomb bomb(at), none;
    EXPECT_THROW(Run(Fake(1), options, bomb), Killed) << "kill at call " << at;
    EXPECT_EQ(Run(Fake(1), options, none), SearchEnd::kTrialsDone);
    EXPECT_EQ(Encodings(), encodings) << "kill at call " << at;
    EXPECT_EQ(States(), states) << "kill at call " << at;
    EXPECT_EQ(Reasons(), reasons) << "kill at call " << at;
    EXPECT_EQ(finished_, (std::multiset<int64_t>{0, 1, 2, 3, 4, 5})) << "kill at call " << at;
  }
}

TEST_F(Pruning, SurvivesSigkill) {
  study::ControllerOptions options = Options();
  options.trials = 12;
  KillUntilDone(Fake(2), options);
  const std::vector<TrialState> states = States();
  ASSERT_EQ(states.size(), 12u);
  for (size_t i = 0; i < states.size(); ++i) {
    EXPECT_THAT(states[i], ::testing::AnyOf(TrialState::kComplete, TrialState::kPruned));
    EXPECT_TRUE(i % 2 == 0 || states[i] == TrialState::kPruned);
  }
  const auto proposer = NewProposer("random");
  EXPECT_EQ(Replay(*proposer).proposals, 12);
}

TEST_F(Pruning, PrunedTrialsAreNoFailures) {
  FakeOptions fake = Fake(2);
  fake.script = [&](int64_t trial, int) {
    FakeEnding ending = TrainInEpochs(trial, trial == 0 ? 1000 : 4);
    if (trial == 1) ending.losses = {9, 9, 9};
    if (trial > 1) ending = {.error = "no luck"};
    return ending;
  };
  Bomb none;
  EXPECT_EQ(Run(fake, Options(), none), SearchEnd::kTrialsDone) << "no error, with one pruned";
  EXPECT_EQ(States()[1], TrialState::kPruned);
  EXPECT_EQ(States()[9], TrialState::kFail);
}

TEST_F(Pruning, WhatDivergesFails) {
  FakeOptions fake = Fake(2);
  fake.script = [&](int64_t trial, int) {
    FakeEnding ending = TrainInEpochs(trial, 1000);
    ending.losses = {std::nan("")};
    return ending;
  };
  Bomb none;
  try {
    Run(fake, Options(), none);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("all 5 trials so far failed"));
    EXPECT_THAT(error.what(), HasSubstr("diverged: its objective is nan after epoch 1"));
  }
}

}  // namespace
}  // namespace lathe::executor
