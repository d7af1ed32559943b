// What the tests of the controller share: a scripted executor, a proposer that writes down its
// calls, and kills at any moment. Not for products.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "executor/fake.h"
#include "search/synthetic_testing.h"
#include "study/controller.h"

namespace lathe::executor {

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
  std::vector<study::JobState> Jobs() const override { return inner_->Jobs(); }

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
inline fs::path TestFolder() {
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
    options.retry_delay = options.poll_interval = std::chrono::milliseconds(0);
    options.objective.weights = {.alpha = 0.5, .beta = 1};
    return options;
  }

  study::ControllerHooks Hooks(Bomb& bomb) {
    study::ControllerHooks hooks;
    hooks.prepare = [&](const study::TrialRecord& trial, const fs::path& folder) {
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
    hooks.on_finished = [&](const study::TrialRecord& trial) {
      finished_.insert(trial.number);
      bomb.Tick();
    };
    hooks.on_progress = [&](const study::SearchProgress&) { bomb.Tick(); };
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
  study::SearchEnd Run(const FakeOptions& fake, const study::ControllerOptions& options, Bomb& bomb,
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
  study::SearchEnd Run(const FakeOptions& fake) {
    Bomb none;
    return Run(fake, Options(), none);
  }

  // Processes of a controller, each killed a little later than the one before, until one ends. They
  // take their time between polls, so that the first ones can't end before they are killed, however
  // late a busy machine wakes up the killer.
  void KillUntilDone(const FakeOptions& fake, study::ControllerOptions options) {
    options.poll_interval = std::chrono::milliseconds(2);
    int killed = 0;
    for (int life = 1; life < 200; ++life) {
      const pid_t child = fork();
      if (child == 0) {
        Bomb none;
        _exit(Run(fake, options, none, "random") == study::SearchEnd::kTrialsDone ? 0 : 1);
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
    for (const study::TrialRecord& trial : Open().Trials()) encodings.push_back(trial.encoding);
    return encodings;
  }

  void ExpectAllComplete(size_t count) const {
    const std::vector<study::TrialRecord> trials = Open().Trials();
    EXPECT_EQ(trials.size(), count);
    for (size_t i = 0; i < trials.size(); ++i) {
      EXPECT_EQ(trials[i].number, static_cast<int64_t>(i));
      EXPECT_EQ(trials[i].state, study::TrialState::kComplete) << trials[i].reason;
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

}  // namespace lathe::executor
