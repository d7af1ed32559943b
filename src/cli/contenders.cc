#include "cli/contenders.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "cli/common.h"
#include "engine/timing.h"
#include "net/network_file.h"
#include "study/controller.h"
#include "study/rank.h"

namespace lathe::cli {
namespace {

// A candidate is trained fully only if it is this much faster than the budget before training: the
// final measurement, minutes later, has to confirm it.
constexpr double kMeasuringMargin = 0.97;

engine::Timing TimeUntrained(engine::CompiledModel& model) {
  return engine::TimeUndisturbed(model, {.warmup = 20, .min_runs = 100, .min_seconds = 0.3});
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
                        .folder = "trial-" + study::TrialFolderName(trial.number)};
    contender.network.name = fmt::format("{}-trial-{}", context.config.name, trial.number);
    contender.measured_us = TimeUntrained(*CompileUntrained(context, contender.network)).median_us;
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
    const TimedBaseline baseline =
        FitBaseline(context, name, resolution, kMeasuringMargin * context.config.target.latency_us,
                    TimeUntrained);
    if (!baseline.fits) {
      const std::string needs = FormatMs(baseline.latency_us);
      table.left_out.emplace_back(name, fmt::format("needs {} at its smallest", needs));
      spdlog::info("baseline {} does not fit the budget: {} at its smallest width", name, needs);
      continue;
    }
    // A table from elsewhere may know nothing of the kind.
    const bool known = estimator.Covers(baseline.network);
    const double lut_us = known ? estimator.Network(baseline.network).latency_us : 0;
    if (known) table.latency_check.emplace_back(lut_us, baseline.latency_us);
    chosen.push_back({.name = baseline.network.name,
                      .kind = "baseline",
                      .origin = "zoo",
                      .network = baseline.network,
                      .lut_us = lut_us,
                      .measured_us = baseline.latency_us,
                      .folder = baseline.network.name});
  }
  return chosen;
}

using Json = nlohmann::json;

// What the choice depends on.
Json Asked(const study::StudyConfig& config, const study::Store& store) {
  const auto states = store.Count().states;
  const auto complete = states.find(study::TrialState::kComplete);
  return {{"complete", complete == states.end() ? 0 : complete->second},
          {"finalists", config.finalists},
          {"baselines", config.baselines},
          {"budget_us", config.target.latency_us}};
}

Json ToJson(const Contender& contender) {
  return {{"name", contender.name},
          {"kind", contender.kind},
          {"origin", contender.origin},
          {"network", net::ToJson(contender.network)},
          {"lut_us", contender.lut_us},
          {"measured_us", contender.measured_us},
          {"folder", contender.folder.string()},
          {"number", contender.number}};
}

Contender ToContender(const Json& json) {
  return {.name = json.at("name"),
          .kind = json.at("kind"),
          .origin = json.at("origin"),
          .network = net::ParseNetwork(json.at("network").get<std::string>(), "study.db"),
          .lut_us = json.at("lut_us"),
          .measured_us = json.at("measured_us"),
          .folder = json.at("folder").get<std::string>(),
          .number = json.at("number")};
}

}  // namespace

std::vector<Contender> ChooseContenders(const StudyContext& context, study::Store& store,
                                        const study::SubspaceSource& source,
                                        const latency::Estimator& estimator, FinalistTable& table) {
  constexpr char kKey[] = "contenders";
  const Json asked = Asked(context.config, store);
  const Json saved = Json::parse(store.Value(kKey).value_or("{}"));
  std::vector<Contender> contenders;
  if (saved.value("asked", Json()) == asked) {
    for (const Json& item : saved.at("contenders")) contenders.push_back(ToContender(item));
    table.latency_check = saved.at("latency_check").get<decltype(table.latency_check)>();
    table.left_out = saved.at("left_out").get<decltype(table.left_out)>();
  } else {
    contenders = ChooseFinalists(context, store, source, table);
    const int resolution = contenders.front().network.input.h;
    std::ranges::move(ChooseBaselines(context, estimator, resolution, table),
                      std::back_inserter(contenders));
    auto numbers = saved.value("numbers", std::map<std::string, int64_t>());
    Json list = Json::array();
    for (Contender& contender : contenders) {
      contender.number =
          numbers.emplace(contender.folder.string(), std::ssize(numbers)).first->second;
      list.push_back(ToJson(contender));
    }
    if (!saved.empty()) store.LogEvent("finalists are chosen anew");
    store.SetValue(kKey, Json{{"asked", asked},
                              {"contenders", list},
                              {"numbers", numbers},
                              {"latency_check", table.latency_check},
                              {"left_out", table.left_out}}
                             .dump());
  }
  for (Contender& contender : contenders)
    contender.folder = context.options.folder / "training" / contender.folder;
  return contenders;
}

}  // namespace lathe::cli
