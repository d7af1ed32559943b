#include "report/report.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "report/columns.h"
#include "report/effects.h"
#include "report/frame.h"
#include "report/sections.h"
#include "search/proposer.h"

namespace lathe::report {
namespace {

using Json = nlohmann::ordered_json;

// What each gene explains: [{"gene", "accuracy", "latency"}], without those that explain nothing.
Json EffectsJson(const ReportData& data) {
  constexpr double kWorthSaying = 0.005;
  std::vector<double> accuracy, latency;
  for (const ReportTrial& trial : data.trials) {
    constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
    accuracy.push_back(trial.Complete() ? trial.accuracy : kUnknown);
    latency.push_back(trial.latency_us > 0 ? trial.latency_us : kUnknown);
  }
  Json effects = Json::array();
  std::vector<int> choices(data.trials.size());
  for (size_t gene = 0; gene < data.genes.size(); ++gene) {
    for (size_t i = 0; i < choices.size(); ++i) choices[i] = data.trials[i].encoding[gene];
    const double of_accuracy = ExplainedShare(choices, accuracy).value_or(0);
    const double of_latency = ExplainedShare(choices, latency).value_or(0);
    if (std::max(of_accuracy, of_latency) < kWorthSaying) continue;
    effects.push_back(
        {{"gene", data.genes[gene]}, {"accuracy", of_accuracy}, {"latency", of_latency}});
  }
  return effects;
}

Json NetworksJson(const ReportData& data) {
  Json networks = Json::array();
  for (const ReportNetwork& network : data.networks) {
    networks.push_back({{"name", network.name},
                        {"finalist", network.finalist},
                        {"accuracy", network.accuracy},
                        {"accuracy_low", network.accuracy_low},
                        {"accuracy_high", network.accuracy_high},
                        {"measured_us", network.measured_us},
                        {"measured_p10_us", network.measured_p10_us},
                        {"measured_p90_us", network.measured_p90_us},
                        {"curve", network.curve}});
  }
  return networks;
}

Json CurvesJson(const ReportData& data) {
  Json curves = Json::array();
  for (const ReportCurve& curve : data.curves) {
    curves.push_back({{"trial", curve.trial}, {"state", curve.state}, {"points", curve.points}});
  }
  return curves;
}

std::string DataText(const ReportData& data, const Json& effects) {
  const Json json = {{"latency_budget_us", data.latency_budget_us},
                     {"subspace_low_us", data.subspace_low_us},
                     {"subspace_high_us", data.subspace_high_us},
                     {"accuracy_target", data.accuracy_target},
                     {"trials", TrialColumns(data)},
                     {"front", FrontOf(data.trials)},
                     {"effects", effects},
                     {"curves", CurvesJson(data)},
                     {"networks", NetworksJson(data)},
                     {"edges_us", data.edges_us},
                     {"bucket_counts", data.bucket_counts},
                     {"bucket_networks", data.bucket_networks},
                     {"lut_check", data.lut_check}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);  // what is no UTF-8
}

}  // namespace

std::vector<size_t> FrontOf(const std::vector<ReportTrial>& trials) {
  std::vector<size_t> complete;
  std::vector<double> cost, value;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (!trials[i].Complete()) continue;
    complete.push_back(i);
    cost.push_back(trials[i].latency_us);
    value.push_back(trials[i].accuracy);
  }
  std::vector<size_t> front = search::ParetoFront(cost, value);
  for (size_t& index : front) index = complete[index];
  return front;
}

std::string RenderReport(const ReportData& data, PageKind kind) {
  const Json effects = EffectsJson(data);
  const std::string live = kind == PageKind::kLive ? "<div id=\"live\"></div>\n" : "";
  return WholePage({.title = data.title,
                    .kind = kind,
                    .main = Headline(data) + live + FrontPlot(data) + NetworkTable(data) +
                            FinalistCards(data) + SmallPlots(data, !effects.empty()) +
                            TrialTable(data) + Provenance(data),
                    .data = DataText(data, effects)});
}

void WriteReport(const fs::path& path, const ReportData& data) {
  WriteFileAtomically(path, RenderReport(data));
}

}  // namespace lathe::report
