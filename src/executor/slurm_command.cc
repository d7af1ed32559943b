#include "executor/slurm_command.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <string_view>
#include <utility>

namespace lathe::executor {
namespace {

// A controller that runs within a job must not hand the properties of that job on.
std::vector<std::string> VariablesOfOwnJob() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (name.starts_with("SLURM_") && name != "SLURM_CONF") names.emplace_back(name);
  }
  return names;
}

SlurmCommand Start(std::vector<std::string> argv) {
  static const std::vector<std::string> unset = VariablesOfOwnJob();
  ProcessOptions options;
  options.argv = std::move(argv);
  options.unset = unset;
  return std::make_unique<CapturedProcess>(std::move(options));
}

}  // namespace

std::string IdText(int64_t job, std::optional<int> index) {
  return index ? fmt::format("{}_{}", job, *index) : fmt::format("{}", job);
}

SlurmCommand StartSbatch(const SlurmOptions& options, const JobScript& script,
                         const std::string& job_name, const std::filesystem::path& file) {
  const study::SlurmConfig& queue = options.queue;
  std::vector<std::string> argv = {
      "sbatch",
      "--parsable",
      fmt::format("--job-name={}", job_name),
      "--output=/dev/null",  // the script writes log.txt itself: its path may hold anything
      "--requeue",
      fmt::format("--nodes={}", queue.nodes),
      fmt::format("--ntasks={}", options.processes_per_trial),
      fmt::format("--cpus-per-task={}", options.threads_per_process),
      fmt::format("--signal=B:USR1@{:.0f}", queue.save_seconds)};
  if (script.folders.size() > 1) {
    std::vector<int> indices;
    for (const auto& [index, folder] : script.folders) indices.push_back(index);
    argv.push_back(fmt::format("--array={}", fmt::join(indices, ",")));
  }
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) argv.push_back(fmt::format("--{}={}", option, value));
  };
  add("partition", queue.partition);
  add("account", queue.account);
  add("qos", queue.qos);
  add("time", queue.time_limit);
  add("mem", queue.memory);
  add("constraint", queue.constraint);
  add("gres", queue.gres.empty() && options.gpus_per_trial > 0
                  ? fmt::format("gpu:{}", options.gpus_per_trial)
                  : queue.gres);
  argv.insert(argv.end(), queue.extra.begin(), queue.extra.end());
  argv.push_back(file.string());
  return Start(std::move(argv));
}

SlurmCommand StartSqueue() {
  return Start({"squeue", "--noheader", "--array", "--states=all",
                fmt::format("--user={}", getuid()), fmt::format("--format={}", kQueueFormat)});
}

SlurmCommand StartSacct(const std::vector<std::string>& jobs) {
  return Start({"sacct", "--noheader", "--parsable2", "--allocations",
                fmt::format("--jobs={}", fmt::join(jobs, ",")),
                fmt::format("--format={}", kAccountFormat)});
}

SlurmCommand StartScancel(const std::vector<std::string>& jobs) {
  std::vector<std::string> argv = {"scancel"};
  argv.insert(argv.end(), jobs.begin(), jobs.end());
  return Start(std::move(argv));
}

}  // namespace lathe::executor
