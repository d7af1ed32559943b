// The controller against a scripted executor: every trial counted exactly once, whatever crashes,
// and whenever the controller itself is killed.
#include "study/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <set>
#include <span>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "executor/fake.h"
#include "search/synthetic_testing.h"
#include "study/rank.h"

namespace lathe::executor {
namespace {

using study::SearchEnd;
using study::TrialRecord;
using study::TrialState;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Thrown by hooks in place of a kill; no Error, so that nobody handles it.
struct Killed {};

// Counts the calls between the controller and the world, and kills it at one of them.
class Bomb {
 public:
  explicit Bomb(int at = -1) : at_(at) {}
  void Tick() {
    if (calls_++ == at_) throw Killed();
  }
  int calls() const { return calls_; }

 private:
  int calls_ = 0;
  int at_;
};

class TickingExecutor : public study::Executor {
 public:
  TickingExecutor(std::unique_ptr<study::Executor> inner, Bomb& bomb)
      : inner_(std::move(inner)), bomb_(bomb) {}
  int FreeSlots() override { return inner_->FreeSlots(); }
  void Submit(int64_t trial, const fs::path& folder) override {
    bomb_.Tick();
    inner_->Submit(trial, folder);
    bomb_.Tick();
  }
  std::vector<study::JobEnd> Poll() override {
    bomb_.Tick();
    std::vector<study::JobEnd> ends = inner_->Poll();
    bomb_.Tick();  // results are written, but nobody has seen them
    return ends;
  }
  void Cancel(int64_t trial) override { inner_->Cancel(trial); }

 private:
  std::unique_ptr<study::Executor> inner_;
  Bomb& bomb_;
};

// Tells of ends in another order, as threads and machines do.
class ReversingExecutor : public study::Executor {
 public:
  explicit ReversingExecutor(std::unique_ptr<study::Executor> inner) : inner_(std::move(inner)) {}
  int FreeSlots() override { return inner_->FreeSlots(); }
  void Submit(int64_t trial, const fs::path& folder) override { inner_->Submit(trial, folder); }
  std::vector<study::JobEnd> Poll() override {
    std::vector<study::JobEnd> ends = inner_->Poll();
    std::ranges::reverse(ends);
    return ends;
  }
  void Cancel(int64_t trial) override { inner_->Cancel(trial); }

 private:
  std::unique_ptr<study::Executor> inner_;
};

// Writes down what it is asked and told; Restore() looks like Ask().
class RecordingProposer : public search::Proposer {
 public:
  RecordingProposer(std::unique_ptr<search::Proposer> inner, std::vector<std::string>& calls,
                    Bomb& bomb)
      : inner_(std::move(inner)), calls_(calls), bomb_(bomb) {}
  std::optional<search::Candidate> Ask(int64_t trial) override {
    bomb_.Tick();
    calls_.push_back(fmt::format("ask {}", trial));
    return inner_->Ask(trial);
  }
  void Tell(int64_t trial, const search::Outcome& outcome) override {
    calls_.push_back(fmt::format("tell {} {}", trial, outcome ? fmt::format("{}", *outcome) : "-"));
    inner_->Tell(trial, outcome);
  }
  void Report(int64_t trial, int step, double value) override {
    bomb_.Tick();  // it is durable, but nobody has acted on it
    calls_.push_back(fmt::format("report {} {} {}", trial, step, value));
    inner_->Report(trial, step, value);
  }
  void Restore(int64_t trial, const search::Candidate& candidate) override {
    calls_.push_back(fmt::format("ask {}", trial));
    inner_->Restore(trial, candidate);
  }

 private:
  std::unique_ptr<search::Proposer> inner_;
  std::vector<std::string>& calls_;
  Bomb& bomb_;
};

// In memory where possible: these tests sync to disk thousands of times.
fs::path TestFolder() {
  const fs::path memory = "/dev/shm";
  const bool usable = access(memory.c_str(), W_OK) == 0;
  return (usable ? memory : fs::temp_directory_path()) /
         fmt::format("lathe-controller-test-{}", getpid());
}

class Controller : public ::testing::Test {
 protected:
  Controller() { MakeFolder(root_); }
  ~Controller() override { fs::remove_all(root_); }

  std::vector<study::Parameter> Parameters() const {
    std::vector<study::Parameter> parameters;
    for (const search::Dimension& dimension : source_.dimensions()) {
      parameters.push_back({dimension.name, dimension.choices, dimension.ordinal});
    }
    return parameters;
  }

  study::Store Open() const { return study::Store(root_ / "study.db", "test", Parameters()); }

  study::ControllerOptions Options() const {
    study::ControllerOptions options;
    options.trials_folder = root_ / "trials";
    options.trials = 10;
    options.poll_interval = std::chrono::milliseconds(0);
    options.objective.weights = {.alpha = 0.5, .beta = 1};
    return options;
  }

  study::ControllerHooks Hooks(Bomb& bomb) {
    study::ControllerHooks hooks;
    hooks.prepare = [&](const TrialRecord& trial, const fs::path& folder) {
      bomb.Tick();
      std::string encoding;
      for (int value : trial.encoding) encoding += std::to_string(value) + " ";
      WriteFileAtomically(folder / "encoding", encoding);
      bomb.Tick();
    };
    hooks.candidate = [this](const std::vector<int>& encoding) {
      return source_.Describe(encoding);
    };
    hooks.costs = [](const std::vector<int>&) {
      return std::map<std::string, double>{{"params", 5}};
    };
    hooks.on_finished = [&](const TrialRecord& trial) {
      finished_.insert(trial.number);
      bomb.Tick();
    };
    hooks.on_progress = [&](int, int) { bomb.Tick(); };
    return hooks;
  }

  // Depends on the candidate alone, like a training.
  FakeEnding Train(int64_t trial, int polls = 1) const {
    std::ifstream file(root_ / "trials" / study::TrialFolderName(trial) / "encoding");
    std::vector<int> encoding;
    for (int value; file >> value;) encoding.push_back(value);
    FakeEnding ending;
    ending.polls = polls;
    ending.metrics = {{"loss", source_.Value(source_.Describe(encoding))}, {"accuracy", 0.5}};
    return ending;
  }

  // The same, with a falling loss after each of three epochs.
  FakeEnding TrainInEpochs(int64_t trial, int polls = 3) const {
    FakeEnding ending = Train(trial, polls);
    const double loss = ending.metrics.at("loss");
    ending.losses = {loss + 0.5, loss + 0.25, loss};
    return ending;
  }

  std::unique_ptr<search::Proposer> NewProposer(const std::string& name, uint64_t seed = 3) {
    return search::MakeProposer(
        name, source_,
        {.dimensions = source_.dimensions(), .seed = seed, .initial = 3, .draws = 50});
  }

  study::ReplayResult Replay(search::Proposer& proposer) {
    const study::Store store = study::Store::OpenReadOnly(root_ / "study.db");
    return study::Replay(store.Calls(), store.Trials(), proposer,
                         [this](const std::vector<int>& e) { return source_.Describe(e); });
  }

  // One life of a controller, with everything new but the files.
  SearchEnd Run(const FakeOptions& fake, const study::ControllerOptions& options, Bomb& bomb,
                const std::string& proposer_name = "bayes",
                const std::function<bool()>& stop = {}) {
    study::Store store = Open();
    calls_.clear();
    const auto proposer =
        std::make_unique<RecordingProposer>(NewProposer(proposer_name), calls_, bomb);
    TickingExecutor executor(MakeFakeExecutor(fake), bomb);
    study::ControllerHooks hooks = Hooks(bomb);
    hooks.stop = stop;
    return RunController(store, *proposer, executor, options, hooks);
  }
  SearchEnd Run(const FakeOptions& fake) {
    Bomb none;
    return Run(fake, Options(), none);
  }

  // Processes of a controller, each killed a little later than the one before, until one ends.
  void KillUntilDone(const FakeOptions& fake, const study::ControllerOptions& options) {
    int killed = 0;
    for (int life = 1; life < 200; ++life) {
      const pid_t child = fork();
      if (child == 0) {
        Bomb none;
        _exit(Run(fake, options, none, "random") == SearchEnd::kTrialsDone ? 0 : 1);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(1000 + 200 * life));
      kill(child, SIGKILL);
      int status = 0;
      waitpid(child, &status, 0);
      if (WIFEXITED(status)) {
        ASSERT_EQ(WEXITSTATUS(status), 0);
        break;
      }
      ++killed;
    }
    EXPECT_GT(killed, 2);
  }

  std::vector<std::vector<int>> Encodings() const {
    std::vector<std::vector<int>> encodings;
    for (const TrialRecord& trial : Open().Trials()) encodings.push_back(trial.encoding);
    return encodings;
  }

  void ExpectAllComplete(size_t count) const {
    const std::vector<TrialRecord> trials = Open().Trials();
    EXPECT_EQ(trials.size(), count);
    for (size_t i = 0; i < trials.size(); ++i) {
      EXPECT_EQ(trials[i].number, static_cast<int64_t>(i));
      EXPECT_EQ(trials[i].state, TrialState::kComplete) << trials[i].reason;
    }
  }

  void Reset() {
    fs::remove_all(root_);
    MakeFolder(root_);
    finished_.clear();
  }

  search::SyntheticSource source_{5, 3};
  std::multiset<int64_t> finished_;
  std::vector<std::string> calls_;  // of the last life's proposer
  const fs::path root_ = TestFolder();
};

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

// Halving over three epochs; every second trial learns nothing.
class Pruning : public Controller {
 protected:
  study::ControllerOptions Options() const {
    study::ControllerOptions options = Controller::Options();
    options.pruning = {.rule = "halving", .first_step = 1, .reduction = 2};
    options.last_step = 3;
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
  options.last_step = 1;
  Bomb none;
  Run(Fake(2), options, none);
  ExpectAllComplete(10);
  Reset();
  options.last_step = 3;
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
