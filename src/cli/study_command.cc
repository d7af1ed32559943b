// lathe study status | trials | best | rank | proxy | replay | export | stop | prune | enqueue |
// report DIR: a study, running or finished.
#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/common.h"
#include "cli/study_export.h"
#include "cli/study_orders.h"
#include "cli/study_proxy.h"
#include "cli/study_replay.h"
#include "cli/study_report.h"
#include "cli/study_status.h"
#include "study/config.h"
#include "study/rank.h"
#include "study/store.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;

nlohmann::ordered_json JsonOf(const study::TrialRecord& trial,
                              const std::vector<study::Parameter>& parameters) {
  nlohmann::ordered_json json = {
      {"number", trial.number},         {"state", study::Name(trial.state)},
      {"latency_us", trial.latency_us}, {"metrics", trial.metrics},
      {"starts", trial.starts},         {"reason", trial.reason}};
  if (!trial.imported_from.empty()) json["imported_from"] = trial.imported_from;
  if (trial.value) json["value"] = *trial.value;
  for (size_t i = 0; i < parameters.size(); ++i)
    json["params"][parameters[i].name] = trial.encoding[i];
  return json;
}

int PrintTrials(const Globals& globals, const std::vector<study::TrialRecord>& trials,
                const std::vector<study::Parameter>& parameters) {
  if (globals.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const study::TrialRecord& trial : trials) json.push_back(JsonOf(trial, parameters));
    PrintJson(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"trial", "state", "accuracy", "loss", "LUT ms",
                                                 "objective", "params", "MACs", "starts", "note"}};
  for (const study::TrialRecord& trial : trials) {
    const bool complete = trial.state == study::TrialState::kComplete;
    rows.push_back({std::to_string(trial.number), std::string(study::Name(trial.state)),
                    complete ? FormatPercent(trial.Metric("accuracy")) : "-",
                    complete ? fmt::format("{:.4f}", trial.Metric("loss")) : "-",
                    fmt::format("{:.3f}", trial.latency_us / 1000),
                    trial.value ? fmt::format("{:.4f}", *trial.value) : "-",
                    FormatShort(trial.Metric("params")), FormatShort(trial.Metric("macs")),
                    std::to_string(trial.starts),
                    trial.imported_from.empty() ? trial.reason : "from " + trial.imported_from});
  }
  PrintText(FormatTable(rows));
  return 0;
}

int Rank(const Globals& globals, const fs::path& folder, size_t top, double accuracy) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  const study::StudyConfig config = study::LoadStudy(folder / "study.toml");
  const std::vector<study::TrialRecord> ranked =
      study::Rank(store.Trials(), {.latency_budget_us = config.target.latency_us,
                                   .accuracy = accuracy,
                                   .goal = config.objective.goal(),
                                   .top = top});
  PrintTrials(globals, ranked, store.parameters());
  return ranked.empty() ? 3 : 0;
}

}  // namespace

void AddStudyCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* study_command =
      app.add_subcommand("study", "Look at a study, running or finished, and direct its search");
  study_command->require_subcommand(1);
  auto folder = std::make_shared<std::string>();
  auto top = std::make_shared<size_t>(10);
  auto accuracy = std::make_shared<double>(0.0);
  const auto add = [&](const std::string& name, const std::string& help, std::function<int()> run) {
    CLI::App* command = study_command->add_subcommand(name, help);
    command->add_option("folder", *folder, "Folder of the study")->required();
    command->callback([&action, run = std::move(run)] { action = run; });
    return command;
  };
  auto watch = std::make_shared<double>(0);
  CLI::App* status = add("status", "States, running and waiting trials, events and finalists",
                         [=, &globals] { return ShowStatus(globals, *folder, *watch); });
  status->add_option("--watch", *watch, "Show it again every so many seconds while the search runs")
      ->expected(0, 1)
      ->default_str("2")
      ->check(CLI::PositiveNumber);
  add("trials", "All trials", [=, &globals] {
    const study::Store store = study::Store::OpenReadOnly(fs::path(*folder) / "study.db");
    return PrintTrials(globals, store.Trials(), store.parameters());
  });
  add("best", "The best trial within the budget",
      [=, &globals] { return Rank(globals, *folder, 1, 0); });
  CLI::App* rank = add("rank", "Trials within the budget, best accuracy first",
                       [=, &globals] { return Rank(globals, *folder, *top, *accuracy); });
  rank->add_option("--top", *top, "How many")->capture_default_str();
  rank->add_option("--accuracy", *accuracy, "Only those with at least this accuracy (0..1)")
      ->check(CLI::Range(0.0, 1.0));
  add("proxy", "How well short trainings stand for long ones",
      [=, &globals] { return CheckProxy(globals, *folder); });
  add("replay", "Make all proposals again and compare them with the recorded ones",
      [=, &globals] { return ReplayStudy(globals, *folder); });
  auto exported = std::make_shared<ExportOptions>();
  CLI::App* export_command =
      add("export", "All trials as CSV, or everything as JSON (--json)", [=, &globals] {
        exported->folder = *folder;
        return ExportStudy(globals, *exported);
      });
  export_command->add_option("--out", exported->out, "File to write; stdout if not given");
  export_command->add_flag("--csv", exported->csv, "Write CSV, which is the default");
  const auto say = [&globals](const std::string& what) {
    globals.json ? PrintJson({{"ordered", what}}) : PrintText(what + "\n");
    return 0;
  };
  add("stop", "Stop the search that runs, from anywhere; it can be continued",
      [=] { return say(OrderStop(*folder)); });
  auto trial = std::make_shared<int64_t>(0);
  add("prune", "End a trial now, with what it has",
      [=] { return say(OrderPrune(*folder, *trial)); })
      ->add_option("trial", *trial, "Its number")
      ->required();
  auto network = std::make_shared<std::string>();
  add("enqueue", "Have a network tried next", [=] { return say(OrderEnqueue(*folder, *network)); })
      ->add_option("network", *network, std::string(kNetworkHelp) + ", or an encoding")
      ->required();
  add("report", "Write report.html again from the study's files", [=] {
    WriteStudyReport(*folder);
    PrintText((fs::path(*folder) / "report.html").string() + "\n");
    return 0;
  });
}

}  // namespace lathe::cli
