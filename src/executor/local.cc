#include "executor/local.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/process.h"

namespace lathe::executor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point time) {
  return std::chrono::duration<double>(Clock::now() - time).count();
}

// Seconds since the file changed last; nullopt while there is none.
std::optional<double> Age(const fs::path& path) {
  std::error_code missing;
  const fs::file_time_type time = fs::last_write_time(path, missing);
  if (missing) return std::nullopt;
  return std::chrono::duration<double>(fs::file_time_type::clock::now() - time).count();
}

struct Job {
  pid_t pid = 0;
  size_t slot = 0;
  fs::path folder;
  Clock::time_point started = Clock::now();
  std::optional<Clock::time_point> cancelled;
  bool hangs = false;
};

class LocalExecutor : public study::Executor {
 public:
  explicit LocalExecutor(const LocalOptions& options) : options_(options) {
    const std::vector<int> cpus = AvailableCpus();
    const auto threads = static_cast<size_t>(std::max(1, options.threads_per_slot));
    const size_t slots = options.slots > 0 ? static_cast<size_t>(options.slots)
                                           : std::max<size_t>(1, cpus.size() / threads);
    slots_.resize(slots);
    if (slots * threads > cpus.size()) {
      spdlog::warn("{} slots of {} threads share {} CPUs: trials will slow each other down", slots,
                   threads, cpus.size());
      return;  // no affinity: the system spreads them better
    }
    for (size_t i = 0; i < slots; ++i) {
      const auto first = cpus.begin() + static_cast<std::ptrdiff_t>(i * threads);
      slots_[i].cpus.assign(first, first + static_cast<std::ptrdiff_t>(threads));
    }
  }

  ~LocalExecutor() override {
    try {
      for (auto& [trial, job] : jobs_) Cancel(trial);
      while (!jobs_.empty()) {
        Poll();
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    } catch (const std::exception& error) {
      spdlog::error("while ending trials: {}", error.what());  // they die with this process
    }
  }

  int FreeSlots() override {
    return static_cast<int>(std::ranges::count(slots_, false, &Slot::busy));
  }

  void Submit(int64_t trial, const fs::path& folder) override {
    const auto slot = std::ranges::find(slots_, false, &Slot::busy);
    if (slot == slots_.end())
      throw Error(ErrorKind::kInternal, "trial {} submitted without a free slot", trial);
    if (jobs_.contains(trial))
      throw Error(ErrorKind::kInternal, "trial {} submitted while it runs", trial);
    ProcessOptions process;
    process.argv = options_.command;
    process.argv.push_back(folder.string());
    process.log_file = folder / "log.txt";
    process.env["OMP_NUM_THREADS"] = std::to_string(std::max(1, options_.threads_per_slot));
    process.cpus = slot->cpus;
    Job job;
    job.slot = static_cast<size_t>(slot - slots_.begin());
    job.folder = folder;
    job.pid = StartProcess(process);
    slot->busy = true;
    jobs_[trial] = job;
  }

  std::vector<study::JobEnd> Poll() override {
    std::vector<study::JobEnd> ends;
    for (auto& [trial, job] : jobs_) {
      const std::optional<ProcessExit> exit = PollProcess(job.pid);
      if (exit) {
        SignalProcessGroup(job.pid, SIGKILL);  // helpers it may have left behind
        ends.push_back(EndOf(trial, job, *exit));
      } else if (job.cancelled && SecondsSince(*job.cancelled) > options_.stop_seconds) {
        SignalProcessGroup(job.pid, SIGKILL);
      } else if (options_.hang_seconds > 0 && SilentSeconds(job) > options_.hang_seconds) {
        job.hangs = true;
        SignalProcessGroup(job.pid, SIGKILL);
      }
    }
    for (const study::JobEnd& end : ends) {
      slots_[jobs_.at(end.trial).slot].busy = false;
      jobs_.erase(end.trial);
    }
    return ends;
  }

  void Cancel(int64_t trial) override {
    const auto job = jobs_.find(trial);
    if (job == jobs_.end() || job->second.cancelled) return;
    job->second.cancelled = Clock::now();
    SignalProcessGroup(job->second.pid, SIGTERM);
  }

 private:
  struct Slot {
    std::vector<int> cpus;
    bool busy = false;
  };

  static double SilentSeconds(const Job& job) {
    double silent = SecondsSince(job.started);
    for (const char* file : {"progress.json", "metrics.jsonl"}) {
      if (const std::optional<double> age = Age(job.folder / file)) silent = std::min(silent, *age);
    }
    return silent;
  }

  study::JobEnd EndOf(int64_t trial, const Job& job, const ProcessExit& exit) const {
    study::JobEnd end;
    end.trial = trial;
    // Whatever way a cancelled one ended: that was our doing.
    end.continue_me = exit.code == study::kTrialContinueMe || (job.cancelled && !job.hangs);
    if (end.continue_me) return end;
    end.io_error = exit.code == study::kTrialIoError;
    std::error_code ignored;
    const bool has_result = fs::exists(job.folder / "result.json", ignored);
    end.crashed = job.hangs || exit.code != study::kTrialDone || !has_result;
    if (job.hangs) {
      end.reason =
          fmt::format("no sign of life for {:g} seconds, so it was killed", options_.hang_seconds);
    } else if (end.crashed) {
      end.reason = exit.Describe() + (exit.code == study::kTrialDone ? " without a result" : "");
    }
    return end;
  }

  const LocalOptions options_;
  std::vector<Slot> slots_;
  std::map<int64_t, Job> jobs_;
};

}  // namespace

std::unique_ptr<study::Executor> MakeLocalExecutor(const LocalOptions& options) {
  if (options.command.empty())
    throw Error(ErrorKind::kInternal, "the local executor needs a command");
  return std::make_unique<LocalExecutor>(options);
}

}  // namespace lathe::executor
