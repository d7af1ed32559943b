// finalists.json and the table printed at the end of a search.
#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/common.h"
#include "cli/finalists.h"

namespace lathe::cli {
namespace {

constexpr int kFormatVersion = 1;

// "f32 0.218 ms 92.83 %, int8 0.131 ms 92.80 %"
std::string PrecisionsText(const FinalistRow& row) {
  std::vector<std::string> texts;
  for (const PrecisionRow& one : row.precisions) {
    texts.push_back(fmt::format("{} {} {}", one.precision, FormatMs(one.median_us),
                                FormatPercent(one.accuracy)));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PrecisionRow, precision, file, median_us, accuracy, agreement)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FinalistRow, name, kind, origin, path, training, accuracy,
                                   accuracy_exported, images, disagreements, lut_us, measured_us,
                                   p10_us, p90_us, params, macs, precisions, meets_target, problem)

bool FinalistTable::AnyMeetsTarget() const {
  return std::ranges::any_of(
      rows, [](const FinalistRow& row) { return row.kind == "finalist" && row.meets_target; });
}

nlohmann::ordered_json ToJson(const FinalistTable& table) {
  nlohmann::ordered_json json = {{"format", "lathe-finalists"},
                                 {"version", kFormatVersion},
                                 {"latency_budget_us", table.latency_budget_us},
                                 {"accuracy_target", table.accuracy_target},
                                 {"networks", nlohmann::json(table.rows)},
                                 {"latency_check", table.latency_check},
                                 {"left_out", table.left_out}};
  return json;
}

FinalistTable ReadFinalists(const fs::path& study_folder) {
  const fs::path file = study_folder / "finalists.json";
  FinalistTable table;
  if (!fs::exists(file)) return table;
  try {
    nlohmann::json json = nlohmann::json::parse(ReadFile(file));
    if (json.at("version").get<int>() > kFormatVersion) {
      throw Error(ErrorKind::kInput, "{}: written by a newer lathe; use that version",
                  file.string());
    }
    table.latency_budget_us = json.at("latency_budget_us");
    table.accuracy_target = json.at("accuracy_target");
    for (nlohmann::json& network : json.at("networks")) {
      // Files of before there were several.
      if (!network.contains("precisions")) network["precisions"] = nlohmann::json::array();
    }
    table.rows = json.at("networks").get<std::vector<FinalistRow>>();
    table.latency_check = json.at("latency_check").get<std::vector<std::pair<double, double>>>();
    table.left_out = json.at("left_out").get<std::vector<std::pair<std::string, std::string>>>();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kInput,
                "{}: damaged ({}); delete it and run 'lathe search --resume' to make it again",
                file.string(), error.what());
  }
  return table;
}

std::string ToText(const FinalistTable& table, const fs::path& study_folder) {
  std::vector<std::vector<std::string>> rows = {
      {"network", "test accuracy", "LUT ms", "measured ms", "params", "MACs", "in budget", "path"}};
  for (const FinalistRow& row : table.rows) {
    const bool trained = row.images > 0;
    rows.push_back({row.name, trained ? FormatPercent(row.accuracy_exported) : "-",
                    row.lut_us > 0 ? fmt::format("{:.3f}", row.lut_us / 1000) : "-",
                    fmt::format("{:.3f}", row.measured_us / 1000),
                    trained ? FormatCount(row.params) : "-", trained ? FormatCount(row.macs) : "-",
                    row.measured_us <= table.latency_budget_us ? "yes" : "NO",
                    row.path.empty() ? "-" : (study_folder / row.path).string()});
  }
  std::string text = FormatTable(rows);
  for (const FinalistRow& row : table.rows) {
    if (row.precisions.size() > 1) text += fmt::format("{}: {}\n", row.name, PrecisionsText(row));
    if (!row.problem.empty()) text += fmt::format("{}: {}\n", row.name, row.problem);
  }
  for (const auto& [name, reason] : table.left_out)
    text += fmt::format("{} is not in the table: {}\n", name, reason);
  return text;
}

}  // namespace lathe::cli
