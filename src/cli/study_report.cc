#include "cli/study_report.h"

#include <algorithm>
#include <map>
#include <memory>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/finalists.h"
#include "cli/version.h"
#include "deploy/verify.h"
#include "latency/estimator.h"
#include "latency/lut.h"
#include "net/network_file.h"
#include "study/config.h"
#include "study/store.h"

namespace lathe::cli {
namespace {

report::ReportTrial ReportOf(const study::TrialRecord& trial) {
  return {.number = trial.number,
          .state = std::string(study::Name(trial.state)),
          .latency_us = trial.latency_us,
          .loss = trial.Metric("loss"),
          .accuracy = trial.Metric("accuracy"),
          .value = trial.value.value_or(0),
          .params = trial.Metric("params"),
          .macs = trial.Metric("macs"),
          .seconds = trial.starts > 0 && trial.end > 0 ? trial.end - trial.begin : 0,
          .note = trial.imported_from.empty() ? trial.reason : "from " + trial.imported_from,
          .encoding = trial.encoding};
}

// What a package or a training offers, in the order of its names.
std::vector<std::string> FilesOf(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) files.push_back(entry.path().filename().string());
  }
  std::ranges::sort(files);
  return files;
}

std::vector<double> LayerLatencies(const latency::Estimator& estimator,
                                   const net::Network& network) {
  if (!estimator.Covers(network)) return {};
  std::vector<double> layer_us;
  for (const latency::Estimate& layer : estimator.Network(network).layers) {
    layer_us.push_back(layer.latency_us);
  }
  return layer_us;
}

report::ReportNetwork ReportOf(const FinalistRow& row, const fs::path& folder,
                               const latency::Estimator* estimator) {
  report::ReportNetwork network{.name = row.name,
                                .finalist = row.kind == "finalist",
                                .meets_target = row.meets_target,
                                .accuracy = row.accuracy_exported,
                                .accuracy_low = 0,
                                .accuracy_high = 0,
                                .lut_us = row.lut_us,
                                .measured_us = row.measured_us,
                                .measured_p10_us = row.p10_us,
                                .measured_p90_us = row.p90_us,
                                .params = static_cast<double>(row.params),
                                .macs = static_cast<double>(row.macs),
                                .path = row.path};
  if (row.images > 0) {
    std::tie(network.accuracy_low, network.accuracy_high) =
        deploy::WilsonInterval(row.accuracy_exported, row.images);
  }
  const fs::path package = folder / row.path;
  if (network.finalist && !row.path.empty() && fs::exists(package / "network.json")) {
    network.files = FilesOf(package);
    network.network = net::ReadNetwork(package / "network.json");
    if (estimator != nullptr) network.layer_us = LayerLatencies(*estimator, *network.network);
  }
  for (const PrecisionRow& one : row.precisions) {
    network.precisions.push_back({.name = one.precision,
                                  .file = one.file,
                                  .measured_us = one.median_us,
                                  .accuracy = one.accuracy});
  }
  if (!row.training.empty()) {
    for (const study::MetricLine& line : study::ReadMetrics(folder / row.training)) {
      const auto accuracy = line.values.find("accuracy");
      if (accuracy != line.values.end()) network.curve.push_back(accuracy->second);
    }
  }
  return network;
}

// Curves are drawn of the best trials and of the last ones that are running or ended early.
constexpr size_t kCurves = 25;

std::vector<report::ReportCurve> CurvesOf(const study::Store& store,
                                          const std::vector<study::TrialRecord>& trials) {
  std::vector<const study::TrialRecord*> best, last;
  for (const study::TrialRecord& trial : trials) {
    const bool complete = trial.state == study::TrialState::kComplete && trial.value;
    if (complete && trial.imported_from.empty()) best.push_back(&trial);
    if (trial.state == study::TrialState::kPruned || trial.state == study::TrialState::kRunning) {
      last.push_back(&trial);
    }
  }
  std::ranges::sort(best, {}, [](const study::TrialRecord* trial) { return *trial->value; });
  if (best.size() > kCurves) best.resize(kCurves);
  std::ranges::reverse(last);
  if (last.size() > kCurves) last.resize(kCurves);
  std::map<int64_t, report::ReportCurve> curves;
  for (const auto* list : {&best, &last}) {
    for (const study::TrialRecord* trial : *list) {
      curves[trial->number] = {
          .trial = trial->number, .state = std::string(study::Name(trial->state)), .points = {}};
    }
  }
  for (const study::Call& call : store.Calls()) {
    if (call.kind != study::CallKind::kReport || !call.value) continue;
    const auto curve = curves.find(call.trial);
    if (curve != curves.end()) curve->second.points.emplace_back(call.reported_step(), *call.value);
  }
  std::vector<report::ReportCurve> drawn;
  for (auto& [number, curve] : curves) {
    if (!curve.points.empty()) drawn.push_back(std::move(curve));
  }
  return drawn;
}

void DescribeLut(const latency::Lut& lut, report::ReportData& data) {
  for (const auto& [name, value] : lut.target.Fields()) {
    data.provenance.emplace_back("Target " + name, value);
  }
  data.provenance.emplace_back("LUT keys", std::to_string(lut.entries.size()));
  if (!lut.band) return;
  data.provenance.emplace_back(
      "LUT error on whole networks",
      fmt::format(
          "mean {:.1f} %, 95 % within {:.1f} %, bias {:+.1f} %, Spearman {:.3f} ({} networks)",
          100 * lut.band->mape, 100 * lut.band->p95, 100 * lut.band->bias, lut.band->spearman,
          lut.band->networks));
}

}  // namespace

report::ReportData ReadStudyReport(const fs::path& folder) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  const study::StudyConfig config = study::LoadStudy(folder / "study.toml");
  const FinalistTable table = ReadFinalists(folder);
  const std::vector<study::TrialRecord> trials = store.Trials();

  report::ReportData data;
  data.title = config.name;
  data.latency_budget_us = config.target.latency_us;
  data.subspace_low_us = config.subspace_low_us;
  data.subspace_high_us = config.subspace_high_us;
  data.accuracy_target = config.target.accuracy;
  data.objective = "Objective: " + study::ToText(config.objective) + ".";
  for (const study::Parameter& parameter : store.parameters()) data.genes.push_back(parameter.name);
  for (const study::TrialRecord& trial : trials) data.trials.push_back(ReportOf(trial));
  data.curves = CurvesOf(store, trials);
  data.lut_check = table.latency_check;
  if (const std::optional<std::string> stage1 = store.Value("stage1")) {
    const nlohmann::json json = nlohmann::json::parse(*stage1);
    data.edges_us = json.at("edges_us").get<std::vector<double>>();
    data.bucket_counts = json.at("counts").get<std::vector<int64_t>>();
    data.bucket_networks = json.value("networks", std::vector<double>());
  }
  data.provenance = {{"Lathe", kVersion},
                     {"Study file", config.source.string()},
                     {"Seed", std::to_string(config.seed)},
                     {"Data", config.data.kind},
                     {"Space", config.space_file.string()}};
  std::unique_ptr<latency::Estimator> estimator;
  if (fs::exists(folder / "lut.json")) {
    const latency::Lut lut = latency::ReadLut(folder / "lut.json");
    DescribeLut(lut, data);
    if (!lut.entries.empty()) estimator = std::make_unique<latency::Estimator>(lut);
  }
  for (const FinalistRow& row : table.rows) {
    data.networks.push_back(ReportOf(row, folder, estimator.get()));
  }
  return data;
}

void WriteStudyReport(const fs::path& folder) {
  report::WriteReport(folder / "report.html", ReadStudyReport(folder));
}

}  // namespace lathe::cli
