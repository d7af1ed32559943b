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

// nullopt: as Evaluator::Evaluate(). Only what the first process of a crew returns counts.
std::optional<study::TrialResult> Evaluate(const fs::path& folder, const study::TrialSpec& spec) {
  const Config config =
      ConfigFile::ParseToml(spec.config_toml, (folder / "trial.json").string()).root();
  const study::EvaluatorConfig own =
      study::ReadEvaluator(config.Table("evaluator"), folder / "trial.json");
  if (own.kind == study::EvaluatorConfig::Kind::kCommand)
    return CommandEvaluator(own).Evaluate(folder, spec, &StopRequested);
  const Crew crew(spec.processes, folder);
  return TrainEvaluator(crew.parallel()).Evaluate(folder, spec, &StopRequested);
}

int RunTrial(const fs::path& folder) {
  if (!fs::exists(folder / "trial.json")) {
    throw Error(ErrorKind::kInput, "{}: no trial.json here; give the folder of a trial of a study",
                folder.string());
  }
  std::optional<FileLock> lock;  // of all the processes that may train it together
  if (!IsFurtherMember()) {
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
    const std::optional<study::TrialResult> result = Evaluate(folder, spec);
    if (!result) return study::kTrialContinueMe;
    if (lock) study::WriteResult(folder, *result);
    return study::kTrialDone;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kIo) {
      if (lock) study::WriteCrash(folder, error.what());
      throw;
    }
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
