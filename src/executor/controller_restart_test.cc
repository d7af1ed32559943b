// The controller killed or stopped, at any moment, and started again on the same files.
#include "study/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "executor/controller_testing.h"
#include "executor/fake_cluster.h"

namespace lathe::executor {
namespace {

using study::SearchEnd;
using study::TrialRecord;
using study::TrialState;
using ::testing::IsEmpty;

// With one slot the told history is the same at every ask, so the proposals
// must be, too.
TEST_F(Controller, KilledAnywhereItContinuesWithTheSameProposals) {
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int start) {
                           FakeEnding ending = TrainInEpochs(trial, 2);
                           ending.continue_me = trial % 3 == 1 && start == 1;
                           return ending;
                         }};
  study::ControllerOptions options = Options();
  options.trials = 6;
  Bomb counter;
  Run(fake, options, counter);
  ExpectAllComplete(6);
  const std::vector<std::vector<int>> uninterrupted = Encodings();

  for (int at = 0; at < counter.calls(); ++at) {
    Reset();
    Bomb bomb(at), none;
    EXPECT_THROW(Run(fake, options, bomb), Killed) << "kill at call " << at;
    EXPECT_EQ(Run(fake, options, none), SearchEnd::kTrialsDone);
    ExpectAllComplete(6);
    EXPECT_EQ(Encodings(), uninterrupted) << "kill at call " << at;
    EXPECT_EQ(finished_, (std::multiset<int64_t>{0, 1, 2, 3, 4, 5})) << "kill at call " << at;
  }
}

// Again and again, with several trials in flight and crashing ones among them.
TEST_F(Controller, KilledManyTimesEveryTrialEndsOnce) {
  const FakeOptions fake{.slots = 3, .script = [&](int64_t trial, int start) {
                           FakeEnding ending = Train(trial, 1 + static_cast<int>(trial % 3));
                           ending.crash = trial % 4 == 2 && start == 1;
                           ending.continue_me = trial % 4 == 3 && start == 1;
                           return ending;
                         }};
  study::ControllerOptions options = Options();
  options.trials = 8;
  options.max_starts = 1000;  // the scripted first crash repeats in every life
  int kills = 0;
  for (int life = 0; life < 300; ++life) {
    Bomb bomb(7 + 3 * life);
    try {
      EXPECT_EQ(Run(fake, options, bomb, "random"), SearchEnd::kTrialsDone);
      break;
    } catch (const Killed&) {
      ++kills;
    }
  }
  EXPECT_GT(kills, 3);
  ExpectAllComplete(8);
  EXPECT_EQ(finished_.size(), 8u);
}

// Whatever happens on the way: what the proposer was told last time is what a new one is told, in
// the same order, and every report once.
TEST_F(Controller, RestoresTheProposerInTheOrderOfItsCalls) {
  const FakeOptions fake{.slots = 3, .script = [&](int64_t trial, int start) {
                           FakeEnding ending =
                               TrainInEpochs(trial, 2 + static_cast<int>(trial * 7 % 4));
                           ending.crash = trial % 4 == 2 && start == 1;
                           ending.continue_me = trial % 4 == 3 && start == 1;
                           if (trial == 5) ending.error = "no luck";
                           return ending;
                         }};
  study::ControllerOptions options = Options();
  options.max_starts = 1000;
  std::vector<std::string> before;
  for (int life = 0; life < 300; ++life) {
    Bomb bomb(11 + 5 * life);
    bool killed = false;
    try {
      Run(fake, options, bomb);
    } catch (const Killed&) {
      killed = true;
    }
    ASSERT_GE(calls_.size(), before.size());
    EXPECT_TRUE(std::ranges::equal(before, std::span(calls_).first(before.size())));
    before = calls_;
    if (!killed) break;
  }
  Bomb none;
  Run(fake, options, none);
  EXPECT_EQ(calls_, before) << "nothing left to do";
  const std::set<std::string> distinct(calls_.begin(), calls_.end());
  EXPECT_EQ(distinct.size(), calls_.size()) << "nothing is told twice";
  EXPECT_EQ(std::ranges::count_if(calls_, [](const auto& c) { return c.starts_with("report 1 "); }),
            3);
  const std::vector<std::string> in_order = {"ask 0", "ask 1", "ask 2"};
  EXPECT_TRUE(std::ranges::equal(in_order, std::span(calls_).first(3)));
  const auto proposer = NewProposer("bayes");
  const study::ReplayResult replay = Replay(*proposer);
  EXPECT_FALSE(replay.difference) << "trial " << replay.difference->trial;
  EXPECT_EQ(replay.proposals, 10);
}

// The real thing: SIGKILL to the process, at any moment and so also within SQLite and the writing
// of files.
TEST_F(Controller, SurvivesSigkill) {
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) { return Train(trial, 2); }};
  study::ControllerOptions options = Options();
  options.trials = 12;
  KillUntilDone(fake, options);
  ExpectAllComplete(12);
  std::set<std::vector<int>> distinct;
  for (const std::vector<int>& encoding : Encodings())
    EXPECT_TRUE(distinct.insert(encoding).second);
}

TEST_F(Controller, StopLetsTrialsSaveAndContinueLater) {
  int polls = 0;
  const FakeOptions slow{.slots = 2,
                         .script = [&](int64_t trial, int) { return Train(trial, 1000000); }};
  Bomb none;
  EXPECT_EQ(Run(slow, Options(), none, "bayes", [&] { return ++polls > 5; }), SearchEnd::kStopped);
  for (const TrialRecord& trial : Open().Trials()) EXPECT_EQ(trial.state, TrialState::kRunning);
  EXPECT_THAT(finished_, IsEmpty());
  EXPECT_EQ(Run({.slots = 2, .script = [&](int64_t trial, int) { return Train(trial); }}),
            SearchEnd::kTrialsDone);
  ExpectAllComplete(10);
  EXPECT_EQ(Open().Trials()[0].starts, 2);
  EXPECT_EQ(Open().Trials()[0].crashes, 0) << "a restart of the controller is nobody's fault";
}

// An executor whose jobs outlive it, and one that has lost them.
TEST_F(Controller, AdoptsWhatRunsAlready) {
  FakeClusterOptions cluster{
      .log = root_ / "cluster.log", .slots = 2, .seconds = 0.3, .train = [](const fs::path&) {
        return std::map<std::string, double>{{"loss", 1}};
      }};
  study::ControllerOptions options = Options();
  options.trials = 4;
  options.cancel_on_stop = false;
  const auto run = [&](const std::function<bool()>& stop) {
    study::Store store = Open();
    Bomb none;
    study::ControllerHooks hooks = Hooks(none);
    hooks.stop = stop;
    return RunController(store, *NewProposer("random"), *MakeFakeCluster(cluster), options, hooks);
  };
  int polls = 0;
  EXPECT_EQ(run([&] { return ++polls > 3; }), SearchEnd::kStopped);
  EXPECT_EQ(run({}), SearchEnd::kTrialsDone);
  ExpectAllComplete(4);
  for (const TrialRecord& trial : Open().Trials()) EXPECT_EQ(trial.starts, 1);
  EXPECT_EQ(std::ranges::count_if(
                Open().Events(),
                [](const auto& event) { return event.second.ends_with("runs already; adopted"); }),
            2);

  Reset();
  polls = 0;
  EXPECT_EQ(run([&] { return ++polls > 3; }), SearchEnd::kStopped);
  fs::remove(cluster.log);
  EXPECT_EQ(run({}), SearchEnd::kTrialsDone);
  ExpectAllComplete(4);
  EXPECT_EQ(Open().Trials()[0].starts, 2);
}

TEST_F(Controller, TimeCountsOverRestarts) {
  study::ControllerOptions options = Options();
  options.max_seconds = 1000;
  options.trials = 3;
  Bomb none;
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) { return Train(trial); }};
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kTrialsDone);
  {
    study::Store store = Open();
    EXPECT_GT(std::stod(store.Value("search_seconds").value()), 0);
    store.SetValue("search_seconds", "999.9999");
  }
  options.trials = 1000;
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kTimeUp);
  EXPECT_LT(Open().Trials().size(), 100u);
}

}  // namespace
}  // namespace lathe::executor
