// The controller against a scripted executor: every trial counted exactly once, whatever crashes,
// and whenever the controller itself is killed.
#include "study/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <span>

#include "executor/controller_testing.h"
#include "executor/fake_cluster.h"
#include "study/jobs.h"

namespace lathe::executor {
namespace {

using study::SearchEnd;
using study::TrialRecord;
using study::TrialState;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(Controller, RunsAllTrialsAndRecordsThem) {
  study::ControllerOptions options = Options();
  options.latency_budget_us = 120;
  Bomb none;
  const auto script = [&](int64_t trial, int) {
    study::AppendMetrics(options.trials_folder / study::TrialFolderName(trial),
                         {.step = 1, .values = {{"loss", 0.75}}});
    return Train(trial, 2);
  };
  EXPECT_EQ(Run({.slots = 3, .script = script}, options, none), SearchEnd::kTrialsDone);
  ExpectAllComplete(10);
  EXPECT_EQ(finished_.size(), 10u);
  for (const TrialRecord& trial : Open().Trials()) {
    const search::Candidate candidate = source_.Describe(trial.encoding);
    EXPECT_DOUBLE_EQ(*trial.value, source_.Value(candidate) + 0.5 * candidate.latency_us / 1000);
    EXPECT_EQ(trial.metrics.at("params"), 5);
    EXPECT_EQ(trial.metrics.at("accuracy"), 0.5);
    EXPECT_DOUBLE_EQ(trial.constraints.at("latency_us"), candidate.latency_us - 120);
    EXPECT_EQ(trial.starts, 1);
    EXPECT_GE(trial.end, trial.begin);
  }
  EXPECT_EQ(Run({.slots = 3, .script = script}, options, none), SearchEnd::kTrialsDone)
      << "nothing left to do";
  EXPECT_EQ(finished_.size(), 10u);
}

TEST_F(Controller, MinimisesTheErrorIfThatIsTheGoal) {
  study::ControllerOptions options = Options();
  options.objective.aim = study::Aim::kAccuracy;
  Bomb none;
  const auto script = [&](int64_t trial, int) {
    study::AppendMetrics(options.trials_folder / study::TrialFolderName(trial),
                         {.step = 1, .values = {{"loss", 0.75}, {"accuracy", 0.25}}});
    FakeEnding ending = Train(trial, 2);
    ending.metrics["accuracy"] = 0.875;
    if (trial == 1) ending.metrics.erase("accuracy");
    return ending;
  };
  EXPECT_EQ(Run({.slots = 1, .script = script}, options, none), SearchEnd::kTrialsDone);
  const std::vector<TrialRecord> trials = Open().Trials();
  EXPECT_EQ(trials[0].value, 0.125);
  EXPECT_EQ(trials[1].state, TrialState::kFail);
  EXPECT_THAT(trials[1].reason, HasSubstr("no metric 'accuracy'"));
  EXPECT_EQ((std::vector<std::string>(calls_.begin(), calls_.begin() + 3)),
            (std::vector<std::string>{"ask 0", "report 0 1 0.75", "tell 0 0.125"}));
}

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

TEST_F(Controller, AReplayFindsWhatDiffers) {
  Run({.slots = 2, .script = [&](int64_t trial, int) { return TrainInEpochs(trial); }});
  const auto other = NewProposer("bayes", 4);
  const study::ReplayResult replay = Replay(*other);
  ASSERT_TRUE(replay.difference);
  EXPECT_EQ(replay.difference->trial, replay.proposals);
  EXPECT_EQ(replay.difference->recorded,
            Encodings()[static_cast<size_t>(replay.difference->trial)]);
  EXPECT_NE(replay.difference->now->encoding, replay.difference->recorded);
}

// Two runs in which the same trials end between two looks, told by the executor in another order.
TEST_F(Controller, TheOrderOfArrivalWithinOnePollDoesNotMatter) {
  const FakeOptions fake{.slots = 4, .script = [&](int64_t trial, int) {
                           return TrainInEpochs(trial, 1 + static_cast<int>(trial * 5 % 3));
                         }};
  Bomb none;
  Run(fake, Options(), none);
  const std::vector<std::string> calls = calls_;
  const std::vector<std::vector<int>> encodings = Encodings();
  Reset();
  calls_.clear();
  study::Store store = Open();
  RecordingProposer proposer(NewProposer("bayes"), calls_, none);
  ReversingExecutor executor(MakeFakeExecutor(fake));
  EXPECT_EQ(RunController(store, proposer, executor, Options(), Hooks(none)),
            SearchEnd::kTrialsDone);
  EXPECT_EQ(calls_, calls);
  EXPECT_EQ(Encodings(), encodings);
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

TEST_F(Controller, GivesUpOnATrialButNotOnTheStudy) {
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) {
                           FakeEnding ending = Train(trial);
                           ending.crash = trial == 4;
                           if (trial == 5) ending.error = "loss is NaN at step 7";
                           if (trial == 6) ending.metrics = {{"accuracy", 1}};
                           if (trial == 7) ending.metrics["loss"] = std::nan("");
                           return ending;
                         }};
  EXPECT_EQ(Run(fake), SearchEnd::kTrialsDone);
  const std::vector<TrialRecord> trials = Open().Trials();
  ASSERT_EQ(trials.size(), 10u);
  for (size_t i : {4, 5, 6, 7}) {
    EXPECT_EQ(trials[i].state, TrialState::kFail);
    EXPECT_FALSE(trials[i].value);
  }
  EXPECT_EQ(trials[4].starts, 3);
  EXPECT_EQ(trials[4].crashes, 3);
  EXPECT_THAT(trials[4].reason, HasSubstr("died 3 times, last: scripted crash"));
  EXPECT_EQ(trials[5].reason, "loss is NaN at step 7");
  EXPECT_EQ(trials[5].starts, 1) << "a trial that failed by itself is not repeated";
  EXPECT_THAT(trials[6].reason, HasSubstr("no metric 'loss'"));
  EXPECT_THAT(trials[7].reason, HasSubstr("nan"));
  const auto events = Open().Events();
  EXPECT_EQ(std::ranges::count_if(
                events, [](const auto& e) { return e.second.starts_with("trial 4 restarted"); }),
            2);
}

TEST_F(Controller, EndsAStudyInWhichEverythingFails) {
  const FakeOptions fake{.slots = 2, .script = [](int64_t, int) {
                           FakeEnding ending;
                           ending.error = "no such data set";
                           return ending;
                         }};
  try {
    Run(fake);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no such data set"));
    EXPECT_THAT(error.what(), HasSubstr("log.txt"));
  }
  EXPECT_LE(Open().Trials().size(), 7u) << "not the whole budget";
}

TEST_F(Controller, ADamagedResultIsPutAsideAndTheTrialRepeated) {
  const FakeOptions fake{
      .slots = 1, .script = [&](int64_t trial, int start) {
        FakeEnding ending = Train(trial);
        const fs::path folder = root_ / "trials" / study::TrialFolderName(trial);
        if (start == 1 && trial == 1) {
          WriteFileAtomically(folder / "result.json", "{\"format\": \"lathe-res");
          ending.crash = true;  // so that the fake writes none over it
        }
        if (start == 1 && trial == 2) {
          study::WriteResult(folder,
                             {.number = 99, .ok = true, .error = "", .metrics = {{"loss", 1}}});
          ending.crash = true;
        }
        return ending;
      }};
  EXPECT_EQ(Run(fake), SearchEnd::kTrialsDone);
  ExpectAllComplete(10);
  EXPECT_EQ(Open().Trials()[1].starts, 2);
  EXPECT_EQ(Open().Trials()[2].starts, 2);
  EXPECT_TRUE(fs::exists(root_ / "trials/000001/result.damaged.json"));
  EXPECT_TRUE(fs::exists(root_ / "trials/000002/result.damaged.json"));
}

TEST_F(Controller, AResultThatComesLateIsTakenInsteadOfARestart) {
  study::ControllerOptions options = Options();
  options.trials = 5;
  Bomb none;
  // Trial 3 crashes in a first life that ends at once; the result arrives in between.
  bool crashed = false;
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int) {
                           FakeEnding ending = Train(trial);
                           ending.crash = trial == 3;
                           crashed |= ending.crash;
                           return ending;
                         }};
  EXPECT_EQ(Run(fake, options, none, "random", [&] { return crashed; }), SearchEnd::kStopped);
  study::WriteResult(root_ / "trials/000003",
                     {.number = 3, .ok = true, .error = "", .metrics = {{"loss", 1}}});
  EXPECT_EQ(Run(fake, options, none, "random"), SearchEnd::kTrialsDone);
  ExpectAllComplete(5);
  EXPECT_EQ(Open().Trials()[3].starts, 1);
}

TEST_F(Controller, FilesOfAnEarlierStudyAreNotTakenForResults) {
  study::WriteResult(root_ / "trials/000002",
                     {.number = 2, .ok = true, .error = "", .metrics = {{"loss", -100}}});
  EXPECT_EQ(Run({.slots = 2, .script = [&](int64_t trial, int) { return Train(trial); }}),
            SearchEnd::kTrialsDone);
  EXPECT_GT(Open().Trials()[2].metrics.at("loss"), -100);
  EXPECT_TRUE(fs::exists(root_ / "trials/000002.stale-1/result.json"));
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

TEST_F(Controller, ATrialThatDiedWaitsBeforeItStartsAgain) {
  study::ControllerOptions options = Options();
  options.trials = 3;
  options.max_starts = 4;
  options.retry_delay = std::chrono::milliseconds(40);
  std::vector<std::chrono::steady_clock::time_point> starts;
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int start) {
                           FakeEnding ending = Train(trial);
                           ending.crash = trial == 0 && start < 4;
                           if (trial == 0) starts.push_back(std::chrono::steady_clock::now());
                           return ending;
                         }};
  Bomb none;
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kTrialsDone);
  ExpectAllComplete(3);
  ASSERT_EQ(starts.size(), 4u);
  for (size_t i = 1; i < starts.size(); ++i)
    EXPECT_GE(starts[i] - starts[i - 1], options.retry_delay * (1 << (i - 1))) << i;
  const std::vector<TrialRecord> trials = Open().Trials();
  EXPECT_LT(trials[1].end, trials[0].end) << "others have the slot meanwhile";
}

// Saving again and again without an epoch in between is no progress.
TEST_F(Controller, ATrialThatOnlySavesWaitsToo) {
  study::ControllerOptions options = Options();
  options.trials = 1;
  options.retry_delay = std::chrono::milliseconds(30);
  const auto seconds = [&](bool progress) {
    Reset();
    const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int start) {
                             FakeEnding ending = Train(trial);
                             ending.continue_me = start < 4;
                             if (progress)
                               ending.losses = std::vector<double>(static_cast<size_t>(start), 1.0);
                             ending.polls = start;
                             return ending;
                           }};
    const auto begin = std::chrono::steady_clock::now();
    Bomb none;
    EXPECT_EQ(Run(fake, options, none), SearchEnd::kTrialsDone);
    return std::chrono::steady_clock::now() - begin;
  };
  EXPECT_GE(seconds(false), options.retry_delay * 7);
  EXPECT_LT(seconds(true), options.retry_delay * 7);
}

TEST_F(Controller, ProposesAhead) {
  study::ControllerOptions options = Options();
  options.ahead = 3;
  size_t most = 0;
  const FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) { return Train(trial, 3); }};
  const auto look = [&] {
    most = std::max(most, Open().Trials().size() - finished_.size());
    return false;
  };
  Bomb none;
  EXPECT_EQ(Run(fake, options, none, "bayes", look), SearchEnd::kTrialsDone);
  ExpectAllComplete(10);
  EXPECT_EQ(most, 5u) << "two run and three wait";
}

TEST_F(Controller, EndsWithEnoughAccuracyOrSlotTime) {
  study::ControllerOptions options = Options();
  options.trials = 50;
  options.latency_budget_us = 1e9;
  options.stop_accuracy = 0.9;
  FakeOptions fake{.slots = 2, .script = [&](int64_t trial, int) {
                     FakeEnding ending = Train(trial, 2);
                     ending.metrics["accuracy"] = trial == 4 ? 0.9 : 0.8;
                     return ending;
                   }};
  Bomb none;
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kAccurate);
  EXPECT_EQ(Open().Trials().size(), 6u) << "with the one that ran beside it";
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kAccurate);
  EXPECT_EQ(Open().Trials().size(), 6u) << "nor does it go on later";
  options.latency_budget_us = 1;
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kTrialsDone) << "too slow to count";

  Reset();
  options = Options();
  options.trials = 50;
  options.max_slot_seconds = 1;
  Open().SetValue("slot_seconds", "0.999");
  fake.script = [&](int64_t trial, int) { return Train(trial, 400); };
  options.poll_interval = std::chrono::milliseconds(5);
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kSlotTimeUp);
  EXPECT_EQ(Open().Trials().size(), 2u);
  EXPECT_GT(std::stod(Open().Value("slot_seconds").value()), 2) << "two trials for two seconds";
}

TEST_F(Controller, SaysWhatIsSubmitted) {
  study::ControllerOptions options = Options();
  options.trials = 1;
  options.jobs_file = root_ / study::kJobsFile;
  const study::JobState job{
      .trial = 0, .running = false, .job = "a", .where = "b\n", .reason = "c"};
  study::WriteJobs(options.jobs_file, {job});
  EXPECT_EQ(study::ReadJobs(options.jobs_file), std::vector{job});
  Bomb none;
  Run({.slots = 1, .script = [&](int64_t trial, int) { return Train(trial); }}, options, none);
  EXPECT_THAT(study::ReadJobs(options.jobs_file), IsEmpty()) << "and when nothing is";
  EXPECT_THAT(study::ReadJobs(root_ / "nowhere"), IsEmpty());
  WriteFileAtomically(options.jobs_file, "{\"jobs\": [{}]}");
  EXPECT_THROW(study::ReadJobs(options.jobs_file), Error);
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

// Imported results are told and not trained; queued networks come before proposals, once.
TEST_F(Controller, StartsFromWhatIsKnown) {
  study::ControllerOptions options = Options();
  options.trials = 6;
  options.queue = {{12, 12, 0, 0, 0}, {0, 0, 0, 0, 0}, {2, 2, 2, 2, 2}, {0, 0, 0, 0, 0}};
  source_ = search::SyntheticSource(5, 4);
  Bomb unused;
  const study::ControllerHooks hooks = Hooks(unused);
  {
    std::vector<TrialRecord> trials;
    for (const std::vector<int>& encoding : {std::vector{2, 2, 2, 2, 2}, {6, 6, 6, 6, 6}}) {
      TrialRecord trial =
          study::NewTrial(std::ssize(trials), source_.Describe(encoding), options, hooks);
      trial.state = TrialState::kComplete;
      trial.value = 0.5;
      trial.imported_from = "elsewhere";
      trials.push_back(trial);
    }
    Open().Import(trials, "taken", "yes");
  }
  const FakeOptions fake{.slots = 1, .script = [&](int64_t trial, int) { return Train(trial, 2); }};
  Bomb counter;
  Run(fake, options, counter);
  ExpectAllComplete(8);
  EXPECT_THAT(Encodings()[2], ::testing::ElementsAre(12, 12, 0, 0, 0));
  EXPECT_THAT(Encodings()[3], ::testing::ElementsAre(0, 0, 0, 0, 0));
  const std::vector<std::vector<int>> encodings = Encodings();
  EXPECT_EQ(std::set(encodings.begin(), encodings.end()).size(), 8u);
  EXPECT_EQ(finished_, (std::multiset<int64_t>{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ((std::vector<std::string>(calls_.begin(), calls_.begin() + 5)),
            (std::vector<std::string>{"ask 0", "tell 0 0.5", "ask 1", "tell 1 0.5", "ask 2"}));
  const auto proposer = NewProposer("bayes");
  EXPECT_EQ(Replay(*proposer).proposals, 4) << "the others were not proposed";
  Run(fake, options, counter);
  ExpectAllComplete(8);
}

TEST_F(Controller, ImportedTrialsDoNotHideThatAllFail) {
  TrialRecord trial;
  trial.encoding = {0, 0, 0, 0, 0};
  trial.state = TrialState::kComplete;
  trial.value = 0.5;
  trial.imported_from = "elsewhere";
  Open().Import({trial}, "taken", "yes");
  const FakeOptions fake{.slots = 2, .script = [](int64_t, int) {
                           FakeEnding ending;
                           ending.error = "no such data set";
                           return ending;
                         }};
  EXPECT_THROW(Run(fake), Error);
}

TEST_F(Controller, SurvivesAConstantObjectiveAndASubspaceOfOne) {
  const FakeOptions fake{.slots = 2, .script = [](int64_t, int) {
                           return FakeEnding{.metrics = {{"loss", 1}}, .losses = {1}};
                         }};
  study::ControllerOptions options = Options();
  options.objective.weights.alpha = 0;
  options.pruning = {.rule = "halving", .first_step = 1, .reduction = 2};
  Bomb none;
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kTrialsDone);
  ExpectAllComplete(10);
  Reset();
  source_ = search::SyntheticSource(3, 1);
  EXPECT_EQ(Run(fake, options, none), SearchEnd::kExhausted);
  ExpectAllComplete(1);
}

TEST_F(Controller, EndsWhenTheSubspaceIsExhausted) {
  source_ = search::SyntheticSource(2, 2);
  EXPECT_EQ(Run({.slots = 3, .script = [&](int64_t trial, int) { return Train(trial); }}),
            SearchEnd::kExhausted);
  ExpectAllComplete(4);
}

}  // namespace
}  // namespace lathe::executor
