#include "cli/study_report.h"

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/finalists.h"
#include "cli/version.h"
#include "deploy/verify.h"
#include "latency/lut.h"
#include "net/network_file.h"
#include "report/report.h"
#include "study/config.h"
#include "study/store.h"

namespace lathe::cli {
namespace {

std::vector<std::string> LayerLines(const net::Network& network) {
  std::vector<std::string> lines;
  for (const net::Layer& layer : network.layers) {
    std::string line =
        fmt::format("{} {}x{}x{}", net::Name(layer.op), layer.in.c, layer.in.h, layer.in.w);
    if (layer.op != net::Op::kTail) {
      line += fmt::format(" -> {}, k{} s{}", layer.out_channels, layer.kernel, layer.stride);
    }
    if (layer.mid_channels > 0) line += fmt::format(", mid {}", layer.mid_channels);
    if (layer.se_channels > 0) line += ", SE";
    lines.push_back(fmt::format("{}, {}", line, net::Name(layer.act)));
  }
  return lines;
}

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

report::ReportNetwork ReportOf(const FinalistRow& row, const fs::path& folder) {
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
                                .path = row.path,
                                .layers = {},
                                .curve = {}};
  if (row.images > 0) {
    std::tie(network.accuracy_low, network.accuracy_high) =
        deploy::WilsonInterval(row.accuracy_exported, row.images);
  }
  const fs::path file = folder / row.path / "network.json";
  if (!row.path.empty() && fs::exists(file)) network.layers = LayerLines(net::ReadNetwork(file));
  if (!row.training.empty()) {
    for (const study::MetricLine& line : study::ReadMetrics(folder / row.training)) {
      const auto accuracy = line.values.find("accuracy");
      if (accuracy != line.values.end()) network.curve.push_back(accuracy->second);
    }
  }
  return network;
}

}  // namespace

void WriteStudyReport(const fs::path& folder) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  const study::StudyConfig config = study::LoadStudy(folder / "study.toml");
  const FinalistTable table = ReadFinalists(folder);

  report::ReportData data;
  data.title = config.name;
  data.latency_budget_us = config.target.latency_us;
  data.subspace_low_us = config.subspace_low_us;
  data.subspace_high_us = config.subspace_high_us;
  data.accuracy_target = config.target.accuracy;
  for (const study::Parameter& parameter : store.parameters()) data.genes.push_back(parameter.name);
  for (const study::TrialRecord& trial : store.Trials()) data.trials.push_back(ReportOf(trial));
  for (const FinalistRow& row : table.rows) data.networks.push_back(ReportOf(row, folder));
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
  if (fs::exists(folder / "lut.json")) {
    const latency::Lut lut = latency::ReadLut(folder / "lut.json");
    for (const auto& [name, value] : lut.target.Fields())
      data.provenance.emplace_back("Target " + name, value);
    data.provenance.emplace_back("LUT keys", std::to_string(lut.entries.size()));
    if (lut.band) {
      data.provenance.emplace_back(
          "LUT error on whole networks",
          fmt::format(
              "mean {:.1f} %, 95 % within {:.1f} %, bias {:+.1f} %, Spearman {:.3f} ({} networks)",
              100 * lut.band->mape, 100 * lut.band->p95, 100 * lut.band->bias, lut.band->spearman,
              lut.band->networks));
    }
  }
  report::WriteReport(folder / "report.html", data);
}

}  // namespace lathe::cli
