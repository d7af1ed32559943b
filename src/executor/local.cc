#include "executor/local.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "executor/heartbeat.h"

namespace lathe::executor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kWeighEvery = 1;  // seconds

// Resident bytes of the processes of each process group.
std::map<pid_t, double> MemoryOfGroups() {
  static const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  std::map<pid_t, double> bytes;
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator("/proc", unreadable)) {
    std::ifstream file(entry.path() / "stat");
    std::string stat;
    if (!std::getline(file, stat)) continue;
    // pid (name) state parent group ...; field 24 is the number of resident pages.
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) continue;
    std::istringstream fields(stat.substr(name_end + 1));
    std::string skipped;
    pid_t group = 0;
    double pages = 0;
    fields >> skipped >> skipped >> group;
    for (int field = 6; field < 24; ++field) fields >> skipped;
    if (fields >> pages) bytes[group] += pages * page;
  }
  return bytes;
}

struct LocalJob {
  pid_t pid = 0;
  size_t slot = 0;
  fs::path folder;
  Heartbeat heartbeat;
  std::optional<Clock::time_point> cancelled = {};
  std::string killed_for = {};  // why this executor killed it
};

class LocalExecutor : public study::Executor {
 public:
  explicit LocalExecutor(const LocalOptions& options) : options_(options) {
    const std::vector<int> cpus = AvailableCpus();
    const auto threads = static_cast<size_t>(std::max(1, options.threads_per_slot));
    size_t slots = options.slots > 0 ? static_cast<size_t>(options.slots)
                                     : std::max<size_t>(1, cpus.size() / threads);
    if (const auto each = static_cast<size_t>(options.gpus_per_slot); each > 0) {
      const size_t most = options.gpus.size() / each;
      if (most < std::max<size_t>(1, static_cast<size_t>(options.slots))) {
        throw Error(ErrorKind::kUnavailable,
                    "{} slots with {} GPUs each are more than the {} GPUs of this machine",
                    std::max(1, options.slots), each, options.gpus.size());
      }
      slots = std::min(slots, most);
    }
    slots_.resize(slots);
    for (size_t i = 0; i < slots; ++i) {
      for (int gpu = 0; gpu < options.gpus_per_slot; ++gpu) {
        const size_t at = i * static_cast<size_t>(options.gpus_per_slot) + static_cast<size_t>(gpu);
        slots_[i].gpus += (gpu > 0 ? "," : "") + options.gpus[at];
      }
    }
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
    if (options_.gpus_per_slot > 0) process.env["CUDA_VISIBLE_DEVICES"] = slot->gpus;
    process.cpus = slot->cpus;
    jobs_.emplace(trial, LocalJob{.pid = StartProcess(process),
                                  .slot = static_cast<size_t>(slot - slots_.begin()),
                                  .folder = folder,
                                  .heartbeat = Heartbeat(folder)});
    slot->busy = true;
  }

  std::vector<study::JobEnd> Poll() override {
    std::vector<study::JobEnd> ends;
    const bool weigh = options_.memory_bytes > 0 && SecondsSince(weighed_) >= kWeighEvery;
    const std::map<pid_t, double> memory = weigh ? MemoryOfGroups() : std::map<pid_t, double>();
    if (weigh) weighed_ = Clock::now();
    for (auto& [trial, job] : jobs_) {
      const std::optional<ProcessExit> exit = PollProcess(job.pid);
      if (exit) {
        SignalProcessGroup(job.pid, SIGKILL);  // helpers it may have left behind
        ends.push_back(EndOf(trial, job, *exit));
      } else if (job.cancelled && SecondsSince(*job.cancelled) > options_.stop_seconds) {
        SignalProcessGroup(job.pid, SIGKILL);
      } else if (options_.hang_seconds > 0 &&
                 job.heartbeat.SilentSeconds() > options_.hang_seconds) {
        Kill(job, fmt::format("no sign of life for {:g} seconds, so it was killed",
                              options_.hang_seconds));
      } else if (const auto used = memory.find(job.pid);
                 used != memory.end() && used->second > options_.memory_bytes) {
        constexpr double kGb = 1e9;
        Kill(job, fmt::format("used {:.2f} GB of memory and may use {:g}, so it was killed",
                              used->second / kGb, options_.memory_bytes / kGb));
      }
    }
    for (const study::JobEnd& end : ends) {
      slots_[jobs_.at(end.trial).slot].busy = false;
      jobs_.erase(end.trial);
    }
    return ends;
  }

  std::vector<study::JobState> Jobs() const override {
    std::vector<study::JobState> states;
    for (const auto& [trial, job] : jobs_) {
      const Slot& slot = slots_[job.slot];
      std::string where =
          slot.cpus.empty() ? "" : fmt::format("CPUs {}", fmt::join(slot.cpus, ","));
      if (!slot.gpus.empty()) where += (where.empty() ? "GPUs " : ", GPUs ") + slot.gpus;
      states.push_back({.trial = trial, .job = fmt::format("process {}", job.pid), .where = where});
    }
    return states;
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
    std::string gpus;
    bool busy = false;
  };

  static void Kill(LocalJob& job, const std::string& reason) {
    job.killed_for = reason;
    SignalProcessGroup(job.pid, SIGKILL);
  }

  study::JobEnd EndOf(int64_t trial, const LocalJob& job, const ProcessExit& exit) const {
    study::JobEnd end;
    end.trial = trial;
    // Whatever way a cancelled one ended: that was our doing.
    end.continue_me =
        exit.code == study::kTrialContinueMe || (job.cancelled && job.killed_for.empty());
    if (end.continue_me) return end;
    end.io_error = exit.code == study::kTrialIoError;
    end.crashed =
        !job.killed_for.empty() || exit.code != study::kTrialDone || !study::HasResult(job.folder);
    if (!job.killed_for.empty()) {
      end.reason = job.killed_for;
    } else if (end.crashed) {
      end.reason = exit.Describe() + (exit.code == study::kTrialDone ? " without a result" : "");
    }
    return end;
  }

  const LocalOptions options_;
  std::vector<Slot> slots_;
  std::map<int64_t, LocalJob> jobs_;
  Clock::time_point weighed_ = Clock::now();
};

}  // namespace

std::vector<std::string> AvailableGpus() {
  std::vector<std::string> gpus;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream names(visible);
    for (std::string name; std::getline(names, name, ',');) gpus.push_back(name);
    return gpus;
  }
  while (fs::exists(fmt::format("/dev/nvidia{}", gpus.size()))) {
    gpus.push_back(std::to_string(gpus.size()));
  }
  return gpus;
}

std::unique_ptr<study::Executor> MakeLocalExecutor(const LocalOptions& options) {
  if (options.command.empty())
    throw Error(ErrorKind::kInternal, "the local executor needs a command");
  return std::make_unique<LocalExecutor>(options);
}

}  // namespace lathe::executor
