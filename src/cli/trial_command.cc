// lathe trial DIR: what executors start. Runs one trial in its folder, continuing from its
// checkpoint if there is one.
#include <spdlog/spdlog.h>

#include <optional>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "cli/command_evaluator.h"
#include "cli/common.h"
#include "cli/crew.h"
#include "cli/train_evaluator.h"

namespace lathe::cli {
namespace {

// Returns the exit code.
int Conclude(const fs::path& folder, const std::optional<study::TrialResult>& result, bool first) {
  if (!result) return study::kTrialContinueMe;
  if (first) study::WriteResult(folder, *result);
  return study::kTrialDone;
}

// `first`: of the processes that work on the trial; it alone answers for it.
int Evaluate(const fs::path& folder, const study::TrialSpec& spec, bool first) {
  const fs::path file = folder / "trial.json";
  const ConfigFile config = ConfigFile::ParseToml(spec.config_toml, file.string());
  const study::EvaluatorConfig own = study::ReadEvaluator(config.root().Table("evaluator"), file);
  if (own.HasProgram()) {
    return Conclude(folder, CommandEvaluator(own, first).Evaluate(folder, spec, &StopRequested),
                    first);
  }
  const Crew crew(spec.processes, folder);
  return Conclude(folder, TrainEvaluator(crew.parallel()).Evaluate(folder, spec, &StopRequested),
                  first);
}

int EvaluateOrSayWhyNot(const fs::path& folder, const study::TrialSpec& spec, bool first) {
  try {
    return Evaluate(folder, spec, first);
  } catch (const Error& error) {
    if (first && error.kind() != ErrorKind::kIo) study::WriteCrash(folder, error.what());
    throw;
  }
}

int RunTrial(const fs::path& folder) {
  if (!fs::exists(folder / "trial.json")) {
    throw Error(ErrorKind::kInput, "{}: no trial.json here; give the folder of a trial of a study",
                folder.string());
  }
  const bool first = !IsFurtherMember();
  std::optional<FileLock> lock;  // of all the processes that may train it together
  if (first) {
    lock.emplace(folder / "lock",
                 fmt::format("{}: another process is running this trial", folder.string()));
    study::RemoveCrash(folder);
  }
  const study::TrialSpec spec = study::ReadSpec(folder);
  if (study::ReadResult(folder, spec.number)) {
    spdlog::info("trial {} has its result already", spec.number);
    return study::kTrialDone;
  }
  try {
    return EvaluateOrSayWhyNot(folder, spec, first);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kIo) throw;
    spdlog::error("{}", error.what());
    return study::kTrialIoError;
  }
}

}  // namespace

void AddTrialCommand(CLI::App& app, const Globals&, Action& action) {
  CLI::App* command =
      app.add_subcommand("trial", "Run one trial in its folder (what executors start)");
  auto folder = std::make_shared<std::string>();
  command->add_option("folder", *folder, "Folder with trial.json and network.json")->required();
  command->callback([&action, folder] { action = [folder] { return RunTrial(*folder); }; });
}

}  // namespace lathe::cli
