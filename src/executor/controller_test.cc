// The controller against a scripted executor: every trial counted exactly once, whatever crashes.
#include "study/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/clock.h"
#include "executor/controller_testing.h"
#include "study/jobs.h"
#include "study/search_clock.h"

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

TEST_F(Controller, ForeseesItsEnd) {
  study::ControllerOptions options = Options();
  options.trials = 6;  // of 0.8 s, two at a time
  options.poll_interval = std::chrono::milliseconds(5);
  const auto executor = MakeFakeExecutor(
      {.slots = 2, .script = [&](int64_t trial, int) { return Train(trial, 160); }});
  Bomb none;
  study::ControllerHooks hooks = Hooks(none);
  std::vector<double> foreseen;  // Unix seconds
  hooks.on_progress = [&](const study::SearchProgress& at) {
    if (at.seconds_left) foreseen.push_back(UnixSeconds() + *at.seconds_left);
  };
  const double begin = UnixSeconds();
  study::Store store = Open();
  RunController(store, *NewProposer("random"), *executor, options, hooks);
  const double seconds = UnixSeconds() - begin;
  ASSERT_GT(foreseen.size(), 100u);
  for (const double end : foreseen) ASSERT_NEAR(end - begin, seconds, 0.25 * seconds);
  EXPECT_NEAR(study::ForeseenEnd(store).value() - begin, seconds, 1);

  // A limit of time comes first, and lets running trials end.
  Reset();
  options.trials = 1000;
  options.max_seconds = 2;
  foreseen.clear();
  study::Store limited = Open();
  RunController(limited, *NewProposer("random"),
                *MakeFakeExecutor(
                    {.slots = 2, .script = [&](int64_t trial, int) { return Train(trial, 100); }}),
                options, hooks);
  ASSERT_FALSE(foreseen.empty());
  for (const double end : foreseen) EXPECT_NEAR(end, UnixSeconds(), 1.5);
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
  options.pruning = {.rule = "halving", .first_step = 1, .reduction = 2, .startup = 1};
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
