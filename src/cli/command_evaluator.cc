#include "cli/command_evaluator.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>
#include <utility>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/group_guard.h"
#include "base/process.h"
#include "cli/common.h"
#include "cli/training_log.h"
#include "net/graph.h"
#include "net/network_file.h"
#include "onnx/export.h"
#include "study/batch.h"
#include "study/command_line.h"
#include "study/program_report.h"

namespace lathe::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::seconds kLookForLifeEvery{1};

bool IsProgram(const fs::path& file) {
  std::error_code missing;
  return fs::is_regular_file(file, missing) && access(file.c_str(), X_OK) == 0;
}

// As execvp() would find it, but on the PATH that the program is given; nullopt: nowhere.
std::optional<fs::path> FindProgram(const std::string& name, const study::EvaluatorConfig& config) {
  if (name.find('/') != std::string::npos) {
    const fs::path file = config.folder / name;
    return IsProgram(file) ? std::optional(file) : std::nullopt;
  }
  const auto own = config.environment.find("PATH");
  const char* inherited = std::getenv("PATH");
  std::string_view path = own != config.environment.end() ? own->second
                          : inherited != nullptr          ? std::string_view(inherited)
                                                          : "/usr/bin:/bin";
  while (true) {
    const size_t end = std::min(path.find(':'), path.size());
    fs::path file = config.folder / path.substr(0, end) / name;
    if (IsProgram(file)) return file;
    if (end == path.size()) return std::nullopt;
    path.remove_prefix(end + 1);
  }
}

// What a log says last since it had `from` bytes; "" if nothing.
std::string LastWords(const fs::path& log, uintmax_t from) {
  constexpr uintmax_t kRead = 4096;
  constexpr size_t kShown = 300;
  std::error_code missing;
  const uintmax_t size = fs::file_size(log, missing);
  if (missing || size <= from) return "";
  std::string text(std::min(kRead, size - from), '\0');
  std::ifstream stream(log, std::ios::binary);
  stream.seekg(-static_cast<std::streamoff>(text.size()), std::ios::end);
  if (!stream.read(text.data(), static_cast<std::streamsize>(text.size()))) return "";
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  text.erase(0, text.find_last_of("\r\n") + 1);  // progress bars end lines with \r
  std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20; }, ' ');
  return text.substr(0, kShown);
}

// The trained weights, if they are what the network, and whoever uses it, needs.
net::Weights ReadProgramWeights(const fs::path& file, const net::Network& network) {
  if (!fs::exists(file)) {
    throw Error(ErrorKind::kInput,
                "{}: the program ended without it; of finalists and baselines it must leave the "
                "weights (docs/own-trainer.md says how)",
                file.string());
  }
  net::Weights weights = net::ReadSafetensors(file);
  try {
    net::CheckWeights(net::Lower(network), weights);
  } catch (const Error& error) {
    throw Error(error.kind(), "{}: {}", file.string(), error.what());
  }
  const auto preprocessing = StoredPreprocessing(weights, file.string());
  if (!preprocessing) {
    throw Error(ErrorKind::kInput,
                "{}: its metadata has no 'preprocessing', so nobody could use the network "
                "(docs/own-trainer.md says how to write it)",
                file.string());
  }
  if (preprocessing->channels != network.input.c || preprocessing->resolution != network.input.h) {
    throw Error(ErrorKind::kInput,
                "{}: preprocessing makes {} channels of {} px, the network takes {} of {} px",
                file.string(), preprocessing->channels, preprocessing->resolution, network.input.c,
                network.input.h);
  }
  return weights;
}

fs::path LogOf(const fs::path& folder) { return folder / "log.txt"; }

// How a run of the program ended.
struct End {
  ProcessExit exit;
  bool told = false;  // to stop
  std::string last_words;
};

// Blocking; `watch` is called all the while.
End RunProgram(const study::EvaluatorConfig& config, const JobValues& values, const fs::path& log,
               const std::function<bool()>& stop, const std::function<void()>& watch) {
  ProcessOptions process;
  for (const std::string& word : config.command)
    process.argv.push_back(study::FillIn(word, values));
  if (const auto program = FindProgram(process.argv[0], config)) process.argv[0] = *program;
  process.log_file = log;
  process.working_folder = config.folder;
  process.env = config.environment;
  process.env.emplace("OMP_NUM_THREADS", values.at("threads"));

  std::error_code missing;
  const uintmax_t log_size = fs::exists(log, missing) ? fs::file_size(log, missing) : 0;
  spdlog::info("starting {}", fmt::join(process.argv, " "));
  const pid_t pid = StartProcess(process);
  const GroupGuard guard(pid);
  End end;
  std::optional<ProcessExit> exit;
  while (!(exit = PollProcess(pid))) {
    if (!end.told && stop()) {
      SignalProcessGroup(pid, SIGTERM);
      end.told = true;
    }
    watch();
    std::this_thread::sleep_for(kPoll);
  }
  end.exit = *exit;
  end.last_words = LastWords(log, log_size);
  return end;
}

[[noreturn]] void ThrowDeath(const End& end, const fs::path& folder) {
  const std::string what =
      end.exit.code == study::kTrialContinueMe
          ? "asked to be started again (exit code 75), but had reported nothing new"
          : fmt::format("{} {}", end.exit.signal == 0 ? "ended with" : "was", end.exit.Describe());
  const bool full = study::DiskFull(folder);
  throw Error(full ? ErrorKind::kIo : ErrorKind::kInternal, "the program {}{}{}{}", what,
              full ? "; there is no room left on the disk" : "",
              end.last_words.empty() ? "" : "; it said last: ", end.last_words);
}

// What the program reports and leaves in a trial's folder.
class Answers {
 public:
  Answers(const fs::path& folder, const study::TrialSpec& spec, const JobFile& job)
      : folder_(folder),
        spec_(spec),
        steps_(static_cast<int64_t>(std::ceil(job.epochs()))),
        out_(job.values().at("out")),
        reports_(out_ / "metrics.jsonl"),
        log_(folder) {
    MakeFolder(out_);
    std::error_code none;
    fs::remove(result_, none);  // of a run that died after it
    study::CutTornLine(out_ / "metrics.jsonl");
  }

  // True: there was something new. Throws kInput for what is no log of a training.
  bool TakeReports() {
    const std::vector<study::MetricLine> reports = reports_.Read();
    if (reports.empty()) return false;
    log_.Add(reports);
    last_step_ = reports.back().step;
    return true;
  }

  // A program shows that it lives by what it prints and by the files in its folder; executors look
  // at progress.json.
  void NoteLife() {
    if (Clock::now() - looked_ < kLookForLifeEvery) return;
    looked_ = Clock::now();
    std::error_code missing;
    uintmax_t signs = fs::file_size(LogOf(folder_), missing);
    for (const fs::directory_entry& entry : fs::directory_iterator(out_, missing)) {
      signs += static_cast<uintmax_t>(entry.last_write_time(missing).time_since_epoch().count());
    }
    if (std::exchange(signs_, signs) == signs) return;
    study::WriteProgress(folder_, {.step = std::min<int64_t>(last_step_, steps_), .steps = steps_});
  }

  bool HasResult() const {
    std::error_code missing;
    return fs::exists(result_, missing);
  }

  // Throws kInput for weights that are not those of `network`.
  study::TrialResult TakeResult(const net::Network& network) const {
    study::TrialResult result = study::ReadProgramResult(result_, spec_.number);
    if (result.ok && spec_.kind != "search") {
      net::WriteSafetensors(folder_ / "weights.safetensors",
                            ReadProgramWeights(out_ / "weights.safetensors", network));
    }
    return result;
  }

 private:
  const fs::path folder_;
  const study::TrialSpec& spec_;
  const int64_t steps_;  // the trial's epochs
  const fs::path out_;
  const fs::path result_ = out_ / "result.json";
  study::ReportReader reports_;
  TrainingLog log_;
  int last_step_ = 0;  // that was reported
  Clock::time_point looked_;
  uintmax_t signs_ = 0;
};

}  // namespace

std::optional<study::TrialResult> CommandEvaluator::Evaluate(const fs::path& trial_folder,
                                                             const study::TrialSpec& spec,
                                                             const std::function<bool()>& stop) {
  const fs::path folder = fs::absolute(trial_folder).lexically_normal();
  const ConfigFile file = ConfigFile::ParseToml(spec.config_toml, (folder / "trial.json").string());
  const JobFile job(folder, spec, file.root(), config_.onnx);
  return first_ ? Lead(folder, spec, job, stop) : Follow(folder, job, stop);
}

std::optional<study::TrialResult> CommandEvaluator::Lead(const fs::path& folder,
                                                         const study::TrialSpec& spec,
                                                         const JobFile& job,
                                                         const std::function<bool()>& stop) const {
  const net::Network network = net::ReadNetwork(folder / "network.json");
  Answers answers(folder, spec, job);
  if (config_.onnx) {
    onnx::ExportOnnx(job.values().at("onnx"), network,
                     net::RandomWeights(net::Lower(network), spec.seed));
  }
  job.Write();
  try {
    answers.TakeReports();  // that an earlier run left
    bool reported = false;
    const End end = RunProgram(config_, job.values(), LogOf(folder), stop, [&] {
      reported |= answers.TakeReports();
      answers.NoteLife();
    });
    reported |= answers.TakeReports();
    const bool ended = end.exit.code == 0 && answers.HasResult();
    const bool asks = end.exit.code == study::kTrialContinueMe && reported;
    if (!ended && (end.told || asks)) return std::nullopt;
    if (end.exit.code != 0) ThrowDeath(end, folder);
    return answers.TakeResult(network);
  } catch (const Error& error) {
    // What the program wrote is wrong, and would be again.
    if (error.kind() != ErrorKind::kInput) throw;
    return study::TrialResult{
        .number = spec.number, .ok = false, .error = error.what(), .metrics = {}};
  }
}

std::optional<study::TrialResult> CommandEvaluator::Follow(
    const fs::path& folder, const JobFile& job, const std::function<bool()>& stop) const {
  while (!job.Written()) {
    if (stop()) return std::nullopt;
    std::this_thread::sleep_for(kPoll);
  }
  const End end = RunProgram(config_, job.values(), LogOf(folder), stop, [] {});
  if (end.exit.code == 0) return study::TrialResult();  // what it is, the first one says
  if (end.told || end.exit.code == study::kTrialContinueMe) return std::nullopt;
  ThrowDeath(end, folder);
}

void CheckProgram(const study::EvaluatorConfig& config) {
  if (!fs::is_directory(config.folder)) {
    throw Error(ErrorKind::kInput, "[evaluator] folder: {} is no folder", config.folder.string());
  }
  const std::string& name = config.command[0];
  if (name.find('{') != std::string::npos || FindProgram(name, config)) return;
  throw Error(ErrorKind::kInput, "[evaluator] command: there is no program '{}' {}", name,
              name.find('/') != std::string::npos ? "in " + config.folder.string() : "on PATH");
}

}  // namespace lathe::cli
