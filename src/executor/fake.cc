#include "executor/fake.h"

#include <map>
#include <utility>

#include "base/error.h"

namespace lathe::executor {
namespace {

class FakeExecutor : public study::Executor {
 public:
  explicit FakeExecutor(const FakeOptions& options) : options_(options) {}

  int FreeSlots() override { return options_.slots - static_cast<int>(jobs_.size()); }

  void Submit(int64_t trial, const std::filesystem::path& folder) override {
    if (FreeSlots() <= 0)
      throw Error(ErrorKind::kInternal, "trial {} submitted without a free slot", trial);
    if (jobs_.contains(trial))
      throw Error(ErrorKind::kInternal, "trial {} submitted while it runs", trial);
    jobs_[trial] = {.folder = folder, .ending = options_.script(trial, ++starts_[trial])};
  }

  std::vector<study::JobEnd> Poll() override {
    std::vector<study::JobEnd> ends;
    for (auto& [trial, job] : jobs_) {
      WriteEpoch(job);
      if (--job.ending.polls > 0) continue;
      study::JobEnd end;
      end.trial = trial;
      end.continue_me = job.ending.continue_me;
      end.crashed = job.ending.crash;
      if (end.crashed) {
        end.reason = "scripted crash";
      } else if (!end.continue_me) {
        study::WriteResult(job.folder, {.number = trial,
                                        .ok = job.ending.error.empty(),
                                        .error = job.ending.error,
                                        .metrics = job.ending.metrics});
      }
      ends.push_back(end);
    }
    for (const study::JobEnd& end : ends) jobs_.erase(end.trial);
    return ends;
  }

  void Cancel(int64_t trial) override {
    const auto job = jobs_.find(trial);
    if (job == jobs_.end()) return;
    job->second.cancelled = true;
    job->second.ending.polls = 1;
    job->second.ending.crash = false;
    job->second.ending.continue_me = true;
  }

  std::vector<study::JobState> Jobs() const override {
    std::vector<study::JobState> states;
    for (const auto& [trial, job] : jobs_) states.push_back({.trial = trial});
    return states;
  }

 private:
  struct Job {
    std::filesystem::path folder;
    FakeEnding ending;
    int polled = 0;
    bool cancelled = false;
  };
  static void WriteEpoch(Job& job) {
    const auto epoch = static_cast<size_t>(++job.polled);
    if (epoch > job.ending.losses.size() || job.cancelled) return;
    if (study::ReadMetrics(job.folder).size() >= epoch) return;
    study::AppendMetrics(job.folder,
                         {.step = job.polled, .values = {{"loss", job.ending.losses[epoch - 1]}}});
  }

  const FakeOptions options_;
  std::map<int64_t, Job> jobs_;
  std::map<int64_t, int> starts_;
};

}  // namespace

std::unique_ptr<study::Executor> MakeFakeExecutor(const FakeOptions& options) {
  return std::make_unique<FakeExecutor>(options);
}

}  // namespace lathe::executor
