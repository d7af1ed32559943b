#include "executor/fault_injection_testing.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "search/synthetic_testing.h"
#include "study/controller.h"

namespace lathe::executor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kGenes = 41, kChoices = 4;  // as many as the GPUNet space has
constexpr int kSampleEvery = 1000;

double SecondsOf(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double CpuSeconds(const rusage& usage) {
  return SecondsOf(usage.ru_utime) + SecondsOf(usage.ru_stime);
}

std::vector<study::Parameter> ParametersOf(const search::SyntheticSource& source) {
  std::vector<study::Parameter> parameters;
  for (const search::Dimension& dimension : source.dimensions())
    parameters.push_back({dimension.name, dimension.choices, dimension.ordinal});
  return parameters;
}

// One life of a controller, with everything new but the files.
void RunLife(const FaultOptions& options) {
  search::SyntheticSource source(kGenes, kChoices);
  study::Store store(options.folder / "study.db", "faults", ParametersOf(source));
  const auto proposer = search::MakeProposer(
      options.proposer, source, {.dimensions = source.dimensions(), .seed = options.seed});
  const auto train = [&](const fs::path& folder) {
    std::vector<int> encoding;
    std::ifstream file(folder / "encoding");
    for (int value; file >> value;) encoding.push_back(value);
    return std::map<std::string, double>{{"loss", source.Value(source.Describe(encoding))}};
  };
  const auto cluster = MakeFakeCluster({.log = options.folder / "cluster.log",
                                        .slots = options.workers,
                                        .seconds = options.seconds,
                                        .torn = options.torn,
                                        .late = options.late,
                                        .dead = options.dead,
                                        .continued = options.continued,
                                        .seed = options.seed,
                                        .train = train});
  study::ControllerHooks hooks;
  hooks.prepare = [](const study::TrialRecord& trial, const fs::path& folder) {
    WriteFileQuickly(folder / "encoding", fmt::format("{}\n", fmt::join(trial.encoding, " ")));
  };
  hooks.candidate = [&](const std::vector<int>& encoding) { return source.Describe(encoding); };
  hooks.on_progress = [&, sampled = 0](const study::SearchProgress& at) mutable {
    if (at.done / kSampleEvery == sampled) return;
    sampled = at.done / kSampleEvery;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    AppendLine(options.folder / "costs", fmt::format("{} {}", at.done, CpuSeconds(usage)));
  };
  study::ControllerOptions controller;
  controller.trials_folder = options.folder / "trials";
  controller.trials = options.trials;
  controller.ahead = options.workers / 16;
  controller.max_starts = 20;
  controller.poll_interval =
      std::chrono::milliseconds(static_cast<int64_t>(1000 * options.poll_seconds));
  controller.jobs_file = options.folder / "jobs.json";
  RunController(store, *proposer, *cluster, controller, hooks);
}

pid_t StartLife(const FaultOptions& options) {
  const pid_t child = fork();
  if (child != 0) return child;
  try {
    RunLife(options);
    _exit(0);
  } catch (const std::exception& error) {
    AppendLine(options.folder / "errors", error.what());
    _exit(1);
  }
}

void CheckStore(const FaultOptions& options, FaultReport* report) {
  const auto wrong = [&](const std::string& text) { report->mistakes.push_back(text); };
  const study::Store store = study::Store::OpenReadOnly(options.folder / "study.db");
  const std::vector<study::TrialRecord> trials = store.Trials();
  if (static_cast<int>(trials.size()) != options.trials)
    wrong(fmt::format("{} trials instead of {}", trials.size(), options.trials));
  std::set<std::vector<int>> encodings;
  for (const study::TrialRecord& trial : trials) {
    report->starts += trial.starts;
    if (trial.state != study::TrialState::kComplete)
      wrong(fmt::format("trial {} is {}: {}", trial.number, Name(trial.state), trial.reason));
    if (!encodings.insert(trial.encoding).second)
      wrong(fmt::format("trial {} repeats another one", trial.number));
  }
  std::map<int64_t, int> told;
  for (const study::Call& call : store.Calls()) {
    if (call.kind == study::CallKind::kTell) ++told[call.trial];
  }
  for (const auto& [trial, times] : told) {
    if (times != 1) wrong(fmt::format("trial {} was told {} times", trial, times));
  }
}

void CheckJobs(const FaultOptions& options, FaultReport* report) {
  const std::vector<FakeJob> jobs = ReadFakeCluster(options.folder / "cluster.log");
  std::map<int64_t, double> first, ended;
  for (const FakeJob& job : jobs) {
    first.emplace(job.trial, job.start);
    const auto before = ended.find(job.trial);
    if (before != ended.end() && before->second > job.start)
      report->mistakes.push_back(fmt::format("trial {} ran twice at once", job.trial));
    ended[job.trial] = job.end;
    report->seconds = std::max(report->seconds, job.end);
  }
  double last_start = 0, busy = 0;
  for (const auto& [trial, start] : first) last_start = std::max(last_start, start);
  for (const FakeJob& job : jobs)
    busy += std::max(0.0, std::min(job.end, last_start) - std::min(job.start, last_start));
  report->utilisation = last_start > 0 ? busy / (options.workers * last_start) : 0;
}

}  // namespace

FaultReport RunWithFaults(const FaultOptions& options) {
  if (fs::exists(options.folder))
    throw Error(ErrorKind::kInput, "{} exists already", options.folder.string());
  MakeFolder(options.folder);
  const double expected = options.seconds * options.trials / options.workers;
  Random random(options.seed);
  FaultReport report;
  while (true) {
    const pid_t child = StartLife(options);
    const auto started = Clock::now();
    // Not equally spaced: some die while they restore, some just before the end.
    const double life = 2 * random.Uniform() * expected / (options.kills + 1);
    int status = 0;
    rusage usage{};
    bool ended = false;
    while (!ended) {
      if (report.killed < options.kills &&
          std::chrono::duration<double>(Clock::now() - started).count() >= life) {
        kill(child, SIGKILL);
        break;
      }
      ended = wait4(child, &status, WNOHANG, &usage) == child;
      if (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!ended) {
      wait4(child, &status, 0, &usage);
      ++report.killed;
    }
    report.cpu_seconds += CpuSeconds(usage);
    report.peak_bytes = std::max(report.peak_bytes, 1024.0 * static_cast<double>(usage.ru_maxrss));
    if (!WIFEXITED(status)) continue;
    if (WEXITSTATUS(status) != 0) report.mistakes.push_back(ReadFile(options.folder / "errors"));
    break;
  }
  CheckStore(options, &report);
  CheckJobs(options, &report);
  if (report.killed == 0 && fs::exists(options.folder / "costs")) {
    std::ifstream file(options.folder / "costs");
    for (CostSample sample; file >> sample.trials >> sample.cpu_seconds;)
      report.costs.push_back(sample);
  }
  return report;
}

}  // namespace lathe::executor
