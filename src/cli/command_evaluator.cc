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
#include "cli/job_file.h"
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
    const fs::path file = config.folder / path.substr(0, end) / name;
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

// One run of the program in a trial's folder.
class Run {
 public:
  Run(const study::EvaluatorConfig& config, const fs::path& folder, const study::TrialSpec& spec)
      : config_(config),
        folder_(folder),
        spec_(spec),
        network_(net::ReadNetwork(folder / "network.json")),
        reports_(out_ / "metrics.jsonl"),
        log_(folder) {
    MakeFolder(out_);
    std::error_code none;
    fs::remove(result_, none);  // of a run that died after it
    study::CutTornLine(out_ / "metrics.jsonl");
    const ConfigFile own =
        ConfigFile::ParseToml(spec.config_toml, (folder / "trial.json").string());
    steps_ = static_cast<int64_t>(std::ceil(own.root().Table("recipe").Real("epochs")));
    if (config.onnx) {
      onnx::ExportOnnx(folder / "network.onnx", network_,
                       net::RandomWeights(net::Lower(network_), spec.seed));
    }
    values_ = WriteJob(folder, spec, own.root(), config.onnx);
    TakeReports();  // that an earlier run left
    reported_ = false;
  }

  // As Evaluator::Evaluate(). Throws kInput for reports and weights that nothing can be done with.
  std::optional<study::TrialResult> Execute(const std::function<bool()>& stop) {
    const ProcessOptions process = MakeProcess();
    std::error_code missing;
    const uintmax_t log_size = fs::file_size(program_log_, missing);
    spdlog::info("starting {}", fmt::join(process.argv, " "));
    const pid_t pid = StartProcess(process);
    const GroupGuard guard(pid);
    bool told = false;
    std::optional<ProcessExit> exit;
    while (!(exit = PollProcess(pid))) {
      if (!told && stop()) {
        SignalProcessGroup(pid, SIGTERM);
        told = true;
      }
      TakeReports();
      NoteLife();
      std::this_thread::sleep_for(kPoll);
    }
    const std::string last_words = LastWords(program_log_, missing ? 0 : log_size);
    TakeReports();
    if (exit->code != 0 || !fs::exists(result_)) {
      const bool asks = exit->code == study::kTrialContinueMe && reported_;
      if (told || asks) return std::nullopt;
    }
    if (exit->code != 0) ThrowDeath(*exit, last_words);
    study::TrialResult result = study::ReadProgramResult(result_, spec_.number);
    if (result.ok && spec_.kind != "search") {
      net::WriteSafetensors(folder_ / "weights.safetensors",
                            ReadProgramWeights(out_ / "weights.safetensors", network_));
    }
    return result;
  }

 private:
  ProcessOptions MakeProcess() const {
    ProcessOptions process;
    for (const std::string& word : config_.command)
      process.argv.push_back(study::FillIn(word, values_));
    if (const auto program = FindProgram(process.argv[0], config_)) process.argv[0] = *program;
    process.log_file = program_log_;
    process.working_folder = config_.folder;
    process.env = config_.environment;
    process.env.emplace("OMP_NUM_THREADS", std::to_string(spec_.threads));
    return process;
  }

  void TakeReports() {
    const std::vector<study::MetricLine> reports = reports_.Read();
    if (reports.empty()) return;
    log_.Add(reports);
    last_step_ = reports.back().step;
    reported_ = true;
  }

  // A program shows that it lives by what it prints and by the files in its folder; executors look
  // at progress.json.
  void NoteLife() {
    if (Clock::now() - looked_ < kLookForLifeEvery) return;
    looked_ = Clock::now();
    std::error_code missing;
    uintmax_t signs = fs::file_size(program_log_, missing);
    for (const fs::directory_entry& entry : fs::directory_iterator(out_, missing)) {
      signs += static_cast<uintmax_t>(entry.last_write_time(missing).time_since_epoch().count());
    }
    if (std::exchange(signs_, signs) == signs) return;
    study::WriteProgress(folder_, {.step = std::min<int64_t>(last_step_, steps_), .steps = steps_});
  }

  [[noreturn]] void ThrowDeath(const ProcessExit& exit, const std::string& last_words) const {
    const std::string what =
        exit.code == study::kTrialContinueMe
            ? "asked to be started again (exit code 75), but had reported nothing new"
            : fmt::format("{} {}", exit.signal == 0 ? "ended with" : "was", exit.Describe());
    const bool full = study::DiskFull(folder_);
    throw Error(full ? ErrorKind::kIo : ErrorKind::kInternal, "the program {}{}{}{}", what,
                full ? "; there is no room left on the disk" : "",
                last_words.empty() ? "" : "; it said last: ", last_words);
  }

  const study::EvaluatorConfig& config_;
  const fs::path folder_;
  const study::TrialSpec& spec_;
  const fs::path out_ = folder_ / "out";
  const fs::path result_ = out_ / "result.json";
  const fs::path program_log_ = folder_ / "log.txt";
  const net::Network network_;
  study::ReportReader reports_;
  TrainingLog log_;
  JobValues values_;
  int64_t steps_ = 0;      // the trial's epochs
  int last_step_ = 0;      // that was reported
  bool reported_ = false;  // since the program started
  Clock::time_point looked_;
  uintmax_t signs_ = 0;
};

}  // namespace

std::optional<study::TrialResult> CommandEvaluator::Evaluate(const fs::path& folder,
                                                             const study::TrialSpec& spec,
                                                             const std::function<bool()>& stop) {
  try {
    return Run(config_, fs::absolute(folder).lexically_normal(), spec).Execute(stop);
  } catch (const Error& error) {
    // What the program wrote is wrong, and would be again.
    if (error.kind() != ErrorKind::kInput) throw;
    return study::TrialResult{
        .number = spec.number, .ok = false, .error = error.what(), .metrics = {}};
  }
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
