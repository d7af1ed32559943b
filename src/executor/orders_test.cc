// What the controller does with orders.
#include "study/orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/controller_testing.h"

namespace lathe::executor {
namespace {

using study::OrderKind;
using study::SearchEnd;
using study::TrialRecord;
using study::TrialState;
using testing::Contains;
using testing::HasSubstr;

class Orders : public Controller {
 protected:
  Orders() {
    options_.orders_folder = root_ / "orders";
    options_.trials = 6;
  }

  void Give(const study::Order& order) const { study::GiveOrder(options_.orders_folder, order); }
  void Prune(int64_t trial) const { Give({.kind = OrderKind::kPrune, .trial = trial}); }
  void Enqueue(std::vector<int> encoding) const {
    Give({.kind = OrderKind::kEnqueue, .encoding = std::move(encoding)});
  }
  size_t Left() const { return study::ReadOrders(options_.orders_folder).size(); }

  // `meanwhile` is called before every round of the controller, with how many there were.
  SearchEnd RunWith(const FakeOptions& fake, const std::function<void(int)>& meanwhile = {}) {
    Bomb none;
    int rounds = 0;
    return Run(fake, options_, none, "bayes", [&] {
      if (meanwhile) meanwhile(rounds++);
      return false;
    });
  }

  std::vector<std::string> Events() const {
    std::vector<std::string> events;
    for (const auto& [time, text] : Open().Events()) events.push_back(text);
    return events;
  }

  study::ControllerOptions options_ = Options();
};

constexpr int kForever = 1000000;

TEST_F(Orders, ATrialIsPrunedWithWhatItHas) {
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) {
                           if (trial == 1) return TrainInEpochs(trial, kForever);
                           if (trial == 2) return Train(trial, kForever);
                           return Train(trial, 2);
                         }};
  EXPECT_EQ(RunWith(fake,
                    [&](int round) {
                      if (round == 20) Prune(1);
                      if (round == 40) Prune(2);
                      if (round == 30) Prune(0);
                    }),
            SearchEnd::kTrialsDone);
  const std::vector<TrialRecord> trials = Open().Trials();
  ASSERT_EQ(trials.size(), 6u);
  EXPECT_EQ(trials[1].state, TrialState::kPruned);
  EXPECT_EQ(trials[1].reason, "pruned by hand after epoch 3");
  EXPECT_TRUE(trials[1].value) << "its last objective";
  EXPECT_EQ(trials[2].state, TrialState::kPruned);
  EXPECT_EQ(trials[2].reason, "pruned by hand");
  EXPECT_FALSE(trials[2].value) << "it had reported nothing";
  EXPECT_EQ(trials[0].state, TrialState::kComplete);
  EXPECT_THAT(Events(), Contains("trial 0 is to be pruned by hand, but has ended"));
  EXPECT_EQ(Left(), 0u);
  EXPECT_EQ(finished_, (std::multiset<int64_t>{0, 1, 2, 3, 4, 5}));
  const auto proposer = NewProposer("bayes");
  EXPECT_FALSE(Replay(*proposer).difference);
}

TEST_F(Orders, ATrialThatWaitsIsPrunedToo) {
  options_.trials = 3;
  options_.ahead = 2;
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int) { return Train(trial, 9); }};
  EXPECT_EQ(RunWith(fake,
                    [&](int round) {
                      if (round == 2) Prune(2);
                    }),
            SearchEnd::kTrialsDone);
  EXPECT_EQ(Open().Trials()[2].state, TrialState::kPruned);
  EXPECT_EQ(Open().Trials()[2].starts, 0);
  EXPECT_EQ(Open().Trials()[1].state, TrialState::kComplete);
}

// It waits for its second start while the result of the first shows up.
TEST_F(Orders, AResultThatCameLateCountsMore) {
  options_.trials = 2;
  options_.retry_delay = std::chrono::seconds(3600);
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) {
                           FakeEnding ending = Train(trial, 2);
                           ending.crash = trial == 0;
                           return ending;
                         }};
  EXPECT_EQ(RunWith(fake,
                    [&](int round) {
                      if (round != 30) return;
                      study::WriteResult(
                          root_ / "trials/000000",
                          {.number = 0, .ok = true, .error = "", .metrics = {{"loss", 0.5}}});
                      Prune(0);
                    }),
            SearchEnd::kTrialsDone);
  ExpectAllComplete(2);
}

TEST_F(Orders, AnEnqueuedNetworkIsTriedNext) {
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int) { return Train(trial, 3); }};
  const std::vector<int> wanted = {2, 6, 0, 2, 0};
  EXPECT_EQ(RunWith(fake,
                    [&](int round) {
                      if (round == 2) Enqueue(wanted);
                      if (round == 3) Enqueue(wanted);
                    }),
            SearchEnd::kTrialsDone);
  ExpectAllComplete(6);
  EXPECT_EQ(Encodings()[1], wanted);
  EXPECT_EQ(std::ranges::count(Encodings(), wanted), 1);
  EXPECT_EQ(Left(), 0u);
  const auto proposer = NewProposer("bayes");
  EXPECT_EQ(Replay(*proposer).proposals, 5) << "one was not proposed";
}

// Killed at any moment after the order was given.
TEST_F(Orders, AreNotLostWithTheController) {
  const std::vector<int> wanted = {2, 6, 0, 2, 0};
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int) {
                           return trial == 0 ? Train(trial, kForever) : Train(trial, 2);
                         }};
  for (int at = 0; at < 60; at += 3) {
    Reset();
    Enqueue(wanted);
    Prune(0);
    Bomb bomb(at);
    try {
      Run(fake, options_, bomb);
    } catch (const Killed&) {
    }
    Prune(0);
    Bomb none;
    EXPECT_EQ(Run(fake, options_, none), SearchEnd::kTrialsDone) << at;
    EXPECT_EQ(Open().Trials().size(), 6u) << at;
    EXPECT_EQ(std::ranges::count(Encodings(), wanted), 1) << at;
    EXPECT_EQ(Left(), 0u) << at;
  }
}

TEST_F(Orders, WhatCannotBeDoneIsSaid) {
  options_.trials = 2;
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) { return Train(trial, 9); }};
  study::Store store = Open();
  Bomb none;
  study::ControllerHooks hooks = Hooks(none);
  hooks.refuse = [](const std::vector<int>& encoding) {
    return encoding[0] == 9 ? "it is too slow" : "";
  };
  int rounds = 0;
  hooks.stop = [&] {
    ++rounds;
    if (rounds == 1) Enqueue({9, 0, 0, 0, 0});
    if (rounds == 5) Enqueue({2, 6, 0, 2, 0});
    return false;
  };
  const auto proposer = NewProposer("random");
  const auto executor = MakeFakeExecutor(fake);
  EXPECT_EQ(RunController(store, *proposer, *executor, options_, hooks), SearchEnd::kTrialsDone);
  EXPECT_EQ(store.Trials().size(), 2u);
  std::vector<std::string> events;
  for (const auto& [time, text] : store.Events()) events.push_back(text);
  EXPECT_THAT(events, Contains(HasSubstr("is not tried: it is too slow")));
  EXPECT_THAT(events, Contains(HasSubstr("no new trials any more")));
  EXPECT_EQ(Left(), 0u);
}

}  // namespace
}  // namespace lathe::executor
