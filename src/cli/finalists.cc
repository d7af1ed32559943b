#include "cli/finalists.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/common.h"
#include "cli/judge.h"
#include "deploy/package.h"
#include "engine/timing.h"
#include "net/network_file.h"
#include "net/zoo.h"
#include "study/batch.h"
#include "study/rank.h"

namespace lathe::cli {
namespace {

// A candidate is trained fully only if it is this much faster than the budget before training: the
// final measurement, minutes later, has to confirm it.
constexpr double kMeasuringMargin = 0.97;

engine::Timing MeasureUntrained(const StudyContext& context, const net::Network& network) {
  const net::Weights weights = net::RandomWeights(net::Lower(network), context.config.seed);
  const std::unique_ptr<engine::CompiledModel> model =
      context.engine->Compile(network, weights, {});
  return engine::TimeUndisturbed(*model, {.warmup = 20, .min_runs = 100, .min_seconds = 0.3});
}

// An error that helps when there is nothing to rank.
void CheckComplete(const StudyContext& context, const std::vector<study::TrialRecord>& trials) {
  const auto count = [&](study::TrialState state) {
    return std::ranges::count(trials, state, &study::TrialRecord::state);
  };
  if (count(study::TrialState::kComplete) > 0) return;
  throw Error(ErrorKind::kTargetNotReached,
              "none of the {} trials is complete ({} failed, {} pruned), so there is nothing to "
              "rank; 'lathe study trials {}' says why. Raise trials or max_minutes and continue "
              "with --resume",
              trials.size(), count(study::TrialState::kFail), count(study::TrialState::kPruned),
              context.options.folder.string());
}

// Ranked trials, measured one after the other until enough of them hold the budget.
std::vector<Contender> ChooseFinalists(const StudyContext& context, const study::Store& store,
                                       const study::SubspaceSource& source, FinalistTable& table) {
  const double budget_us = context.config.target.latency_us;
  std::vector<Contender> chosen;
  const std::vector<study::TrialRecord> trials = store.Trials();
  CheckComplete(context, trials);
  for (const study::TrialRecord& trial : study::Rank(
           trials, {.latency_budget_us = budget_us, .goal = context.config.objective.goal()})) {
    if (static_cast<int>(chosen.size()) == context.config.finalists) break;
    Contender contender{.name = fmt::format("finalist {:02}", chosen.size() + 1),
                        .kind = "finalist",
                        .origin = fmt::format("trial {}", trial.number),
                        .network = source.NetworkOf(trial.encoding),
                        .lut_us = trial.latency_us,
                        .measured_us = 0,
                        .folder = {}};
    contender.network.name = fmt::format("{}-trial-{}", context.config.name, trial.number);
    contender.measured_us = MeasureUntrained(context, contender.network).median_us;
    table.latency_check.emplace_back(contender.lut_us, contender.measured_us);
    if (contender.measured_us > kMeasuringMargin * budget_us) {
      spdlog::info("trial {} is passed over: predicted {}, measured {}", trial.number,
                   FormatMs(contender.lut_us), FormatMs(contender.measured_us));
      continue;
    }
    chosen.push_back(std::move(contender));
  }
  if (chosen.empty()) {
    throw Error(
        ErrorKind::kTargetNotReached,
        "no trial of this study runs within {} as measured; raise latency_ms or lower subspace_ms",
        FormatMs(budget_us));
  }
  return chosen;
}

// The widest version of each baseline that holds the budget as measured.
std::vector<Contender> ChooseBaselines(const StudyContext& context,
                                       const latency::Estimator& estimator, int resolution,
                                       FinalistTable& table) {
  std::vector<Contender> chosen;
  for (const std::string& name : context.config.baselines) {
    double fastest_us = 0;
    bool fits = false;
    for (net::Network& network : BaselineVersions(context, name, resolution)) {
      fastest_us = MeasureUntrained(context, network).median_us;
      if (fastest_us > kMeasuringMargin * context.config.target.latency_us) continue;
      fits = true;
      // A table from elsewhere may know nothing of the kind.
      const bool known = estimator.Covers(network);
      const double lut_us = known ? estimator.Network(network).latency_us : 0;
      if (known) table.latency_check.emplace_back(lut_us, fastest_us);
      chosen.push_back({.name = network.name,
                        .kind = "baseline",
                        .origin = "zoo",
                        .network = std::move(network),
                        .lut_us = lut_us,
                        .measured_us = fastest_us,
                        .folder = {}});
      break;
    }
    if (!fits) {
      table.left_out.emplace_back(name,
                                  fmt::format("needs {} at its smallest", FormatMs(fastest_us)));
      spdlog::info("baseline {} does not fit the budget: {} at its smallest width", name,
                   FormatMs(fastest_us));
    }
  }
  return chosen;
}

// Chosen once per study: a resumed search must train the same networks.
std::vector<Contender> ChooseContenders(const StudyContext& context, study::Store& store,
                                        const study::SubspaceSource& source,
                                        const latency::Estimator& estimator, FinalistTable& table) {
  std::vector<Contender> contenders;
  if (const std::optional<std::string> saved = store.Value("contenders")) {
    const nlohmann::json json = nlohmann::json::parse(*saved);
    for (const nlohmann::json& item : json.at("contenders")) {
      contenders.push_back(
          {.name = item.at("name"),
           .kind = item.at("kind"),
           .origin = item.at("origin"),
           .network = net::ParseNetwork(item.at("network").get<std::string>(), "study.db"),
           .lut_us = item.at("lut_us"),
           .measured_us = item.at("measured_us"),
           .folder = {}});
    }
    table.latency_check = json.at("latency_check").get<std::vector<std::pair<double, double>>>();
    table.left_out = json.at("left_out").get<std::vector<std::pair<std::string, std::string>>>();
  } else {
    contenders = ChooseFinalists(context, store, source, table);
    const int resolution = contenders.front().network.input.h;
    std::ranges::move(ChooseBaselines(context, estimator, resolution, table),
                      std::back_inserter(contenders));
    nlohmann::json json = {{"contenders", nlohmann::json::array()},
                           {"latency_check", table.latency_check},
                           {"left_out", table.left_out}};
    for (const Contender& contender : contenders) {
      json["contenders"].push_back({{"name", contender.name},
                                    {"kind", contender.kind},
                                    {"origin", contender.origin},
                                    {"network", net::ToJson(contender.network)},
                                    {"lut_us", contender.lut_us},
                                    {"measured_us", contender.measured_us}});
    }
    store.SetValue("contenders", json.dump());
  }
  for (Contender& contender : contenders) {
    std::string folder = contender.name;
    std::ranges::replace(folder, ' ', '-');
    contender.folder = context.options.folder / "training" / folder;
  }
  return contenders;
}

std::vector<study::TrialResult> TrainContenders(const StudyContext& context,
                                                const std::vector<Contender>& contenders) {
  std::vector<study::BatchJob> jobs;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    jobs.push_back({.folder = contenders[i].folder, .number = number});
    if (!fs::exists(contenders[i].folder / "result.json")) {
      PrepareTrial(context, contenders[i].folder, number, contenders[i].kind,
                   contenders[i].network);
    }
  }
  const std::unique_ptr<study::Executor> executor =
      context.MakeExecutor(context.options.folder / "training");
  Progress progress(
      {.stage = "training finalists and baselines", .total = 1000, .quiet = context.options.quiet});
  study::BatchOptions options;
  options.max_starts = 1 + context.config.max_retries;
  options.stop = context.stop;
  options.cancel_on_stop = context.config.CancelsOnStop();
  options.on_finished = [&](size_t job, const study::TrialResult& result) {
    progress.PrintLine(result.ok
                           ? fmt::format("{}: test accuracy {}", contenders[job].name,
                                         FormatPercent(result.metrics.at("accuracy")))
                           : fmt::format("{}: failed: {}", contenders[job].name, result.error));
  };
  options.on_poll = [&] {
    // All jobs have the same number of images to see; a job that waits counts as zero.
    double share = 0;
    int finished = 0;
    for (const study::BatchJob& job : jobs) {
      const bool done = fs::exists(job.folder / "result.json");
      const study::TrialProgress at =
          done ? study::TrialProgress{} : study::ReadProgress(job.folder);
      finished += done ? 1 : 0;
      share += done ? 1.0
                    : (at.steps > 0 ? static_cast<double>(at.step) / static_cast<double>(at.steps)
                                    : 0.0);
    }
    progress.Update(static_cast<int64_t>(1000 * share / static_cast<double>(jobs.size())),
                    fmt::format("{} of {} trained", finished, jobs.size()));
  };
  return study::RunBatch(*executor, jobs, options);
}

// A program of the user's own may have judged its network on other pixels or images.
void NoteOtherAccuracy(const study::TrialResult& result, const FinalistRow& row) {
  constexpr double kTolerance = 0.01;
  const double reported = result.metrics.at("accuracy");
  if (std::abs(reported - row.accuracy) <= kTolerance) return;
  spdlog::warn(
      "{}: its training reported an accuracy of {}, on the test images it is {}: do both mean the "
      "same images, and the same preprocessing?",
      row.name, FormatPercent(reported), FormatPercent(row.accuracy));
}

FinalistRow FailedRow(const Contender& contender, const std::string& problem) {
  FinalistRow row;
  row.name = contender.name;
  row.kind = contender.kind;
  row.origin = contender.origin;
  row.lut_us = contender.lut_us;
  row.measured_us = contender.measured_us;
  row.problem = problem;
  return row;
}

}  // namespace

FinalistTable MakeFinalists(const StudyContext& context, study::Store& store,
                            const study::SubspaceSource& source,
                            const latency::Estimator& estimator) {
  FinalistTable table{.latency_budget_us = context.config.target.latency_us,
                      .accuracy_target = context.config.target.accuracy,
                      .rows = {},
                      .latency_check = {},
                      .left_out = {}};
  const std::vector<Contender> contenders =
      ChooseContenders(context, store, source, estimator, table);
  const std::vector<study::TrialResult> results = TrainContenders(context, contenders);

  std::vector<Judged> judged;
  for (size_t i = 0; i < contenders.size(); ++i) {
    Judged& one = judged.emplace_back();
    if (results[i].ok) {
      one = Judge(context, store, contenders[i]);
      NoteOtherAccuracy(results[i], one.row);
    } else {
      one.row = FailedRow(contenders[i], results[i].error);
    }
  }
  // Finalists first; those that meet the targets before the others; then by accuracy.
  std::ranges::stable_sort(judged, [](const Judged& a, const Judged& b) {
    const auto key = [](const FinalistRow& row) {
      return std::tuple(row.kind != "finalist", row.kind == "finalist" && !row.meets_target,
                        -row.accuracy_exported);
    };
    return key(a.row) < key(b.row);
  });
  int place = 0;
  for (Judged& one : judged) {
    if (one.row.kind == "finalist" && one.row.problem.empty()) {
      one.row.name = fmt::format("finalist {:02}", ++place);
      one.row.path = fmt::format("finalists/{:02}", place);
      deploy::WritePackage(context.options.folder / one.row.path, one.package);
    }
    table.rows.push_back(one.row);
  }
  WriteFileAtomically(context.options.folder / "finalists.json", ToJson(table).dump(2) + "\n");
  store.LogEvent(fmt::format("finalists made: {} networks judged", table.rows.size()));
  return table;
}

}  // namespace lathe::cli
