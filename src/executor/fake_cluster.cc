#include "executor/fake_cluster.h"

#include <fmt/format.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

namespace lathe::executor {
namespace {

namespace fs = std::filesystem;

constexpr double kLateBy = 1;  // seconds

enum class Fate { kDone, kTorn, kLate, kDead, kContinued };

struct ClusterJob {
  int start_number = 1;  // of this trial
  double start = 0, end = 0;
  fs::path folder = {};
};

// Lines "START trial number start end" and "END trial"; a torn last line never happened.
template <typename OnStart, typename OnEnd>
void ReadLog(const fs::path& log, const OnStart& on_start, const OnEnd& on_end) {
  if (!fs::exists(log)) return;
  std::istringstream text(ReadFile(log));
  for (std::string line; std::getline(text, line) && !text.eof();) {
    std::istringstream words(line);
    std::string kind;
    int64_t trial = 0;
    ClusterJob job;
    if (!(words >> kind >> trial)) continue;
    if (kind == "END") on_end(trial);
    if (kind == "START" && words >> job.start_number >> job.start >> job.end) on_start(trial, job);
  }
}

class FakeCluster : public study::Executor {
 public:
  explicit FakeCluster(const FakeClusterOptions& options) : options_(options) {
    ReadLog(
        options_.log,
        [&](int64_t trial, const ClusterJob& job) {
          starts_[trial] = job.start_number;
          found_[trial] = job;
        },
        [&](int64_t trial) { found_.erase(trial); });
  }

  int FreeSlots() override { return options_.slots - static_cast<int>(jobs_.size()); }

  void Submit(int64_t trial, const fs::path& folder) override {
    if (FreeSlots() <= 0)
      throw Error(ErrorKind::kInternal, "trial {} submitted without a free slot", trial);
    ClusterJob job{.start_number = ++starts_[trial], .start = UnixSeconds(), .folder = folder};
    job.end = job.start + options_.seconds * (0.5 + Draw(trial, job.start_number, "length"));
    AppendLine(options_.log, fmt::format("START {} {} {:.6f} {:.6f}", trial, job.start_number,
                                         job.start, job.end));
    if (!jobs_.emplace(trial, job).second || found_.contains(trial))
      throw Error(ErrorKind::kInternal, "trial {} submitted while it runs", trial);
  }

  std::vector<study::JobEnd> Poll() override {
    const double now = UnixSeconds();
    std::erase_if(late_, [&](const auto& late) {
      if (now < late.second.end + kLateBy) return false;
      Finish(late.first, late.second);
      return true;
    });
    std::vector<study::JobEnd> ends;
    for (const auto& [trial, job] : jobs_) {
      if (now < job.end) continue;
      study::JobEnd end;
      end.trial = trial;
      switch (FateOf(trial, job)) {
        case Fate::kDone:
          Finish(trial, job);
          break;
        case Fate::kTorn:
          std::ofstream(job.folder / "result.json") << R"({"format": "lathe-result", "versi)";
          break;
        case Fate::kLate:
          late_[trial] = job;
          break;
        case Fate::kDead:
          end.crashed = true;
          end.reason = "node failure";
          break;
        case Fate::kContinued:
          end.continue_me = true;
          break;
      }
      AppendLine(options_.log, fmt::format("END {}", trial));
      ends.push_back(end);
    }
    for (const study::JobEnd& end : ends) jobs_.erase(end.trial);
    return ends;
  }

  void Cancel(int64_t trial) override {
    const auto job = jobs_.find(trial);
    if (job != jobs_.end()) job->second.end = UnixSeconds();
  }

  bool Adopt(int64_t trial, const fs::path& folder) override {
    auto job = found_.extract(trial);
    if (job.empty()) return false;
    job.mapped().folder = folder;
    jobs_.insert(std::move(job));
    return true;
  }

  std::vector<study::JobState> Jobs() const override {
    std::vector<study::JobState> states;
    for (const auto& [trial, job] : jobs_) {
      states.push_back({.trial = trial, .job = fmt::format("fake job {}", trial)});
    }
    return states;
  }

 private:
  // Uniform in [0, 1), the same for the same start in every life.
  double Draw(int64_t trial, int start_number, std::string_view what) const {
    return Random(SubSeed(SubSeed(options_.seed, what, static_cast<uint64_t>(trial)), "start",
                          static_cast<uint64_t>(start_number)))
        .Uniform();
  }

  Fate FateOf(int64_t trial, const ClusterJob& job) const {
    double draw = Draw(trial, job.start_number, "fate");
    for (const auto& [share, fate] : {std::pair(options_.torn, Fate::kTorn),
                                      {options_.late, Fate::kLate},
                                      {options_.dead, Fate::kDead},
                                      {options_.continued, Fate::kContinued}}) {
      if (draw < share) return fate;
      draw -= share;
    }
    return Fate::kDone;
  }

  void Finish(int64_t trial, const ClusterJob& job) const {
    study::WriteResult(
        job.folder,
        {.number = trial, .ok = true, .error = "", .metrics = options_.train(job.folder)});
  }

  const FakeClusterOptions options_;
  std::map<int64_t, ClusterJob> jobs_;
  std::map<int64_t, ClusterJob> found_;  // of an earlier controller
  std::map<int64_t, ClusterJob> late_;   // ended, without their results yet
  std::map<int64_t, int> starts_;
};

}  // namespace

std::unique_ptr<study::Executor> MakeFakeCluster(const FakeClusterOptions& options) {
  return std::make_unique<FakeCluster>(options);
}

std::vector<FakeJob> ReadFakeCluster(const fs::path& log) {
  std::vector<FakeJob> jobs;
  double first = std::numeric_limits<double>::infinity();
  ReadLog(
      log,
      [&](int64_t trial, const ClusterJob& job) {
        first = std::min(first, job.start);
        jobs.push_back({.trial = trial, .start = job.start - first, .end = job.end - first});
      },
      [](int64_t) {});
  return jobs;
}

}  // namespace lathe::executor
