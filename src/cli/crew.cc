#include "cli/crew.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "study/trial.h"

namespace lathe::cli {
namespace {

constexpr const char *kRank = "LATHE_RANK", *kMeeting = "LATHE_MEETING";
// Time for an error that names the reason to come up in this process by itself.
constexpr auto kPatience = std::chrono::seconds(5);

std::optional<std::string> Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

std::vector<std::string> OwnArguments() {
  const std::string text = ReadFile("/proc/self/cmdline");
  std::vector<std::string> arguments;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    arguments.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  arguments[0] = OwnExecutable().string();
  return arguments;
}

// Started by srun, once per task; a batch script's own environment has one task, too, but its
// step is not a number of its own.
bool StartedBySrun() { return Variable("SLURM_STEP_NUM_TASKS").value_or("1") != "1"; }

// One GPU for each process of this machine, where there are several.
std::string DeviceOf(int rank) {
  const std::string visible = Variable("CUDA_VISIBLE_DEVICES").value_or("");
  if (visible.find(',') == std::string::npos)
    return visible.empty() ? std::to_string(rank) : visible;
  std::vector<std::string> devices(1);
  for (const char c : visible) {
    if (c == ',') {
      devices.emplace_back();
    } else {
      devices.back() += c;
    }
  }
  return devices[static_cast<size_t>(rank) % devices.size()];
}

}  // namespace

Crew::Crew(int processes, const fs::path& folder) : folder_(folder) {
  parallel_.processes = processes;
  if (processes == 1) return;
  if (const auto rank = Variable(kRank)) {
    parallel_.rank = std::stoi(*rank);
    parallel_.rendezvous = *Variable(kMeeting);
    return;
  }
  if (StartedBySrun()) {
    const int tasks = std::stoi(*Variable("SLURM_STEP_NUM_TASKS"));
    if (tasks != processes) {
      throw Error(ErrorKind::kInput, "srun started {} tasks, the training wants {} processes",
                  tasks, processes);
    }
    parallel_.rank = std::stoi(Variable("SLURM_PROCID").value_or("0"));
    parallel_.one_machine = Variable("SLURM_STEP_NUM_NODES").value_or("1") == "1";
    parallel_.rendezvous =
        folder / fmt::format("meeting-{}-{}-{}", Variable("SLURM_JOB_ID").value_or("0"),
                             Variable("SLURM_STEP_ID").value_or("0"),
                             Variable("SLURM_RESTART_COUNT").value_or("0"));
    return;
  }
  parallel_.rendezvous = folder / fmt::format("meeting-{}", getpid());
  StartOthers();
  watch_ = std::jthread([this](const std::stop_token& stop) { Watch(stop); });
}

fs::path Crew::LogOf(int rank) const { return folder_ / fmt::format("process-{}.log", rank + 1); }

void Crew::StartOthers() {
  std::error_code none;
  fs::remove(parallel_.rendezvous, none);  // of an earlier process with our number
  for (int rank = 1; rank < parallel_.processes; ++rank) {
    fs::remove(LogOf(rank), none);
    ProcessOptions process;
    process.argv = OwnArguments();
    process.log_file = LogOf(rank);
    process.env[kRank] = std::to_string(rank);
    process.env[kMeeting] = parallel_.rendezvous.string();
    process.env["CUDA_VISIBLE_DEVICES"] = DeviceOf(rank);
    others_.push_back(StartProcess(process));
  }
  setenv("CUDA_VISIBLE_DEVICES", DeviceOf(0).c_str(), 1);
}

// Whoever waits for a dead member in torch would wait for minutes.
void Crew::Watch(const std::stop_token& stop) const {
  const auto pause = std::chrono::milliseconds(100);
  std::vector<pid_t> alive = others_;
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(pause);
    for (const pid_t pid : std::vector<pid_t>(alive)) {
      const std::optional<ProcessExit> exit = PollProcess(pid);
      if (!exit) continue;
      std::erase(alive, pid);
      if (exit->code == 0 || exit->code == study::kTrialContinueMe ||
          exit->code == Error(ErrorKind::kInterrupted, "").exit_code()) {
        continue;
      }
      const auto deadline = std::chrono::steady_clock::now() + kPatience;
      while (!stop.stop_requested() && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(pause);
      if (stop.stop_requested()) return;
      const auto rank = std::ranges::find(others_, pid) - others_.begin() + 1;
      spdlog::error("process {} of {} of this training died ({}), so the others stop; see {}",
                    rank + 1, parallel_.processes, exit->Describe(),
                    LogOf(static_cast<int>(rank)).string());
      for (const pid_t other : alive) SignalProcessGroup(other, SIGKILL);
      _exit(1);
    }
  }
}

Crew::~Crew() {
  if (watch_.joinable()) {
    watch_.request_stop();
    watch_.join();
  }
  // They end by themselves after the last batch; not if this process leaves by an exception.
  const bool failed = std::uncaught_exceptions() > 0;
  std::error_code none;
  for (size_t i = 0; i < others_.size(); ++i) {
    if (failed) SignalProcessGroup(others_[i], SIGKILL);
    while (!PollProcess(others_[i])) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!failed) fs::remove(LogOf(static_cast<int>(i) + 1), none);
  }
  if (!others_.empty()) fs::remove(parallel_.rendezvous, none);
}

bool IsFurtherMember() {
  return Variable(kRank).has_value() ||
         (StartedBySrun() && Variable("SLURM_PROCID").value_or("0") != "0");
}

}  // namespace lathe::cli
