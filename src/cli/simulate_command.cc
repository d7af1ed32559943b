// lathe simulate: a proposer against a recorded table, with a simulated cluster.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/table.h"
#include "cli/common.h"
#include "search/simulate.h"

namespace lathe::cli {
namespace {

struct SimulateFlags {
  std::string table;
  search::TableOptions columns;
  std::vector<std::string> constraints;
  search::SimulateOptions options;
  int seeds = 1;
  bool minimize = false;
};

// The place of a result among the feasible rows, 1 the best.
int RankOf(const search::Table& table, double objective) {
  int better = 0;
  for (const size_t row : table.feasible()) {
    const search::Outcome& other = table.rows()[row].objective;
    if (other && *other < objective) ++better;
  }
  return better + 1;
}

// Of the evaluations that the seeds needed; those that did not get there count as infinite.
double Median(const std::vector<search::Simulation>& runs) {
  std::vector<double> needed;
  for (const search::Simulation& run : runs) {
    needed.push_back(run.to_optimum < 0 ? std::numeric_limits<double>::infinity() : run.to_optimum);
  }
  std::ranges::sort(needed);
  const size_t n = needed.size();
  return n % 2 == 1 ? needed[n / 2] : 0.5 * (needed[n / 2 - 1] + needed[n / 2]);
}

nlohmann::ordered_json JsonOf(const search::Table& table, const SimulateFlags& flags,
                              const std::vector<search::Simulation>& runs) {
  const double sign = flags.columns.maximize ? -1 : 1;
  const double median = Median(runs);
  const auto finite = [](double value) {
    return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json json = {{"table", flags.table},
                                 {"rows", table.rows().size()},
                                 {"feasible", table.feasible().size()},
                                 {"best", sign * table.best()},
                                 {"proposer", flags.options.proposer},
                                 {"budget", flags.options.budget},
                                 {"workers", flags.options.workers},
                                 {"median_evaluations", finite(median)},
                                 {"seeds", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < runs.size(); ++i) {
    const search::Simulation& run = runs[i];
    nlohmann::ordered_json best = nlohmann::ordered_json::array();
    for (const double value : run.best) best.push_back(finite(sign * value));
    json["seeds"].push_back(
        {{"seed", flags.options.seed + i},
         {"evaluations", run.rows.size()},
         {"to_optimum", run.to_optimum < 0 ? nlohmann::ordered_json(nullptr)
                                           : nlohmann::ordered_json(run.to_optimum)},
         {"best_after", best},
         {"rows", run.rows},
         {"ends_s", run.ends},
         {"pruned", run.pruned},
         {"simulated_seconds", run.seconds},
         {"seconds_to_optimum", run.to_optimum < 0
                                    ? nlohmann::ordered_json(nullptr)
                                    : nlohmann::ordered_json(run.seconds_to_optimum)},
         {"utilisation", run.utilisation},
         {"utilisation_with_asks", run.utilisation_with_asks},
         {"controller_cores", run.controller_cores},
         {"restarts", run.restarts},
         {"lost", run.lost},
         {"repeated", run.repeated},
         {"ask_p50_ms", run.ask_p50_ms},
         {"ask_p95_ms", run.ask_p95_ms},
         {"ask_total_s", run.ask_total_s}});
  }
  return json;
}

std::string TextOf(const search::Table& table, const SimulateFlags& flags,
                   const std::vector<search::Simulation>& runs) {
  const double sign = flags.columns.maximize ? -1 : 1;
  std::vector<std::vector<std::string>> rows = {{"seed", "evaluations", "to optimum", "best",
                                                 "rank", "simulated", "busy", "pruned", "restarts",
                                                 "lost", "repeated", "ask p95"}};
  for (size_t i = 0; i < runs.size(); ++i) {
    const search::Simulation& run = runs[i];
    const bool any = std::isfinite(run.best.back());
    rows.push_back({std::to_string(flags.options.seed + i), std::to_string(run.rows.size()),
                    run.to_optimum < 0 ? "-" : std::to_string(run.to_optimum),
                    any ? fmt::format("{:g}", sign * run.best.back()) : "-",
                    any ? std::to_string(RankOf(table, run.best.back())) : "-",
                    FormatSeconds(run.seconds), fmt::format("{:.1f} %", 100 * run.utilisation),
                    std::to_string(run.pruned), std::to_string(run.restarts),
                    std::to_string(run.lost), std::to_string(run.repeated),
                    fmt::format("{:.1f} ms", run.ask_p95_ms)});
  }
  const double median = Median(runs);
  return FormatTable(rows) +
         fmt::format(
             "{} of {} rows are feasible, the best has {:g}. Median evaluations to it: {}.\n",
             table.feasible().size(), table.rows().size(), sign * table.best(),
             std::isfinite(median) ? fmt::format("{:g}", median)
                                   : fmt::format("more than {}", flags.options.budget));
}

int Run(const Globals& globals, SimulateFlags flags) {
  if (flags.columns.maximize && flags.minimize) {
    throw Error(ErrorKind::kUsage, "give --maximize or --minimize, not both");
  }
  for (const std::string& text : flags.constraints) {
    flags.columns.constraints.push_back(search::ParseConstraint(text));
  }
  if (flags.options.pruner.rule != "none" && flags.columns.curve.empty()) {
    throw Error(ErrorKind::kUsage,
                "--pruning needs the columns of a learning curve: --curve PREFIX");
  }
  flags.options.seed = globals.seed;
  const search::Table table =
      search::Table::Parse(ReadFile(flags.table), flags.table, flags.columns);
  Progress progress({.stage = "simulating", .total = flags.seeds, .quiet = globals.quiet});
  std::vector<search::Simulation> runs;
  for (int i = 0; i < flags.seeds; ++i) {
    if (StopRequested()) throw Error(ErrorKind::kInterrupted, "stopped");
    search::SimulateOptions options = flags.options;
    options.seed += static_cast<uint64_t>(i);
    runs.push_back(search::Simulate(table, options));
    progress.Update(i + 1);
  }
  globals.json ? PrintJson(JsonOf(table, flags, runs)) : PrintText(TextOf(table, flags, runs));
  return 0;
}

}  // namespace

void AddSimulateCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand(
      "simulate", "Run a proposer against recorded results, with a simulated cluster");
  auto flags = std::make_shared<SimulateFlags>();
  command->add_option("table", flags->table, "CSV file with a header, one row per candidate")
      ->required();
  command
      ->add_option("--params", flags->columns.params,
                   "Columns that are parameters: a,b,c; default: all that are not named otherwise")
      ->delimiter(',');
  command->add_option("--objective", flags->columns.objective, "Column of the result")->required();
  command->add_flag("--maximize", flags->columns.maximize, "A larger result is better");
  command->add_flag("--minimize", flags->minimize, "A smaller result is better (the default)");
  command->add_option("--constraint", flags->constraints,
                      "\"COLUMN<=X\", known before a row is evaluated; may be repeated");
  command->add_option("--cost", flags->columns.cost,
                      "Column of simulated seconds per trial; default: one each");
  command->add_option("--curve", flags->columns.curve,
                      "Prefix of columns with the objective after each epoch: loss_ for loss_1, "
                      "loss_2, ...");
  command
      ->add_option("--pruning", flags->options.pruner.rule,
                   "none, halving, median or forecast; needs --curve")
      ->capture_default_str();
  command->add_option("--first-epoch", flags->options.pruner.first_step, "First epoch to prune at")
      ->capture_default_str();
  command
      ->add_option("--reduction", flags->options.pruner.reduction,
                   "halving: one of so many trials goes on, to so many times the epochs")
      ->capture_default_str();
  command
      ->add_option("--startup", flags->options.pruner.startup,
                   "halving: so many of the best always go on; median: it waits for so many trials")
      ->capture_default_str();
  command->add_flag("--until-optimum", flags->options.until_optimum,
                    "End a run once it has found the best feasible row");
  command->add_option("--proposer", flags->options.proposer, "bayes, evolution, random or sobol")
      ->capture_default_str();
  command->add_option("--budget", flags->options.budget, "Evaluations")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000000));
  command->add_option("--seeds", flags->seeds, "Runs, with seeds --seed, --seed + 1, ...")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command->add_option("--workers", flags->options.workers, "Trials at the same time")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  command
      ->add_option("--fail-rate", flags->options.fail_rate,
                   "Share of starts that die on the way, to be started again")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.95));
  command->callback(
      [&globals, &action, flags] { action = [&globals, flags] { return Run(globals, *flags); }; });
}

}  // namespace lathe::cli
