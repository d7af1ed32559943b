#include "cli/study_export.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "cli/finalists.h"
#include "study/config.h"
#include "study/store.h"

namespace lathe::cli {
namespace {

using Json = nlohmann::ordered_json;

// As RFC 4180 quotes it.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

// Empty for what is not known or no number.
std::string CsvNumber(std::optional<double> number) {
  return number && std::isfinite(*number) ? fmt::format("{}", *number) : "";
}

std::optional<double> Moment(double seconds) {
  return seconds > 0 ? std::optional(seconds) : std::nullopt;
}

std::string ToCsv(const study::Store& store) {
  const std::vector<study::TrialRecord> trials = store.Trials();
  std::set<std::string> metrics;
  for (const study::TrialRecord& trial : trials) {
    for (const auto& [name, value] : trial.metrics) metrics.insert(name);
  }
  std::string csv = "number,state,objective,latency_us";
  for (const std::string& name : metrics) csv += "," + CsvField(name);
  csv += ",begin_s,end_s,starts,imported_from,reason";
  for (const study::Parameter& parameter : store.parameters())
    csv += "," + CsvField(parameter.name);
  csv += "\n";
  for (const study::TrialRecord& trial : trials) {
    csv += fmt::format("{},{},{},{}", trial.number, study::Name(trial.state),
                       CsvNumber(trial.value), CsvNumber(trial.latency_us));
    for (const std::string& name : metrics) {
      const auto metric = trial.metrics.find(name);
      csv += "," + (metric == trial.metrics.end() ? "" : CsvNumber(metric->second));
    }
    csv +=
        fmt::format(",{},{},{},{},{}", CsvNumber(Moment(trial.begin)), CsvNumber(Moment(trial.end)),
                    trial.starts, CsvField(trial.imported_from), CsvField(trial.reason));
    for (const int choice : trial.encoding) csv += fmt::format(",{}", choice);
    csv += "\n";
  }
  return csv;
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json TrialsJson(const study::Store& store) {
  const std::vector<study::Parameter> parameters = store.parameters();
  std::map<int64_t, Json> reports;
  for (const study::Call& call : store.Calls()) {
    if (call.kind != study::CallKind::kReport) continue;
    reports[call.trial].push_back(
        {{"step", call.reported_step()}, {"objective", OrNull(call.value)}});
  }
  Json trials = Json::array();
  for (const study::TrialRecord& trial : store.Trials()) {
    Json params = Json::object();
    for (size_t i = 0; i < parameters.size(); ++i) params[parameters[i].name] = trial.encoding[i];
    const auto reported = reports.find(trial.number);
    trials.push_back({{"number", trial.number},
                      {"state", study::Name(trial.state)},
                      {"objective", OrNull(trial.value)},
                      {"latency_us", trial.latency_us},
                      {"metrics", trial.metrics},
                      {"constraints", trial.constraints},
                      {"begin_s", OrNull(Moment(trial.begin))},
                      {"end_s", OrNull(Moment(trial.end))},
                      {"starts", trial.starts},
                      {"crashes", trial.crashes},
                      {"imported_from", trial.imported_from},
                      {"reason", trial.reason},
                      {"params", params},
                      {"reports", reported == reports.end() ? Json::array() : reported->second}});
  }
  return trials;
}

std::string ToJsonText(const study::Store& store, const fs::path& folder) {
  const study::StudyConfig config = study::LoadStudy(folder / "study.toml");
  Json parameters = Json::array(), events = Json::array();
  for (const study::Parameter& parameter : store.parameters()) {
    parameters.push_back(
        {{"name", parameter.name}, {"choices", parameter.choices}, {"ordinal", parameter.ordinal}});
  }
  for (const auto& [seconds, text] : store.Events()) {
    events.push_back({{"time_s", seconds}, {"text", text}});
  }
  const Json json = {{"format", "lathe-export"},
                     {"version", 1},
                     {"study", store.study_name()},
                     {"objective", study::ToText(config.objective)},
                     {"latency_budget_us", config.target.latency_us},
                     {"accuracy_target", config.target.accuracy},
                     {"parameters", parameters},
                     {"trials", TrialsJson(store)},
                     {"events", events},
                     {"finalists", ToJson(ReadFinalists(folder))}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

int ExportStudy(const Globals& globals, const ExportOptions& options) {
  if (globals.json && options.csv) {
    throw Error(ErrorKind::kUsage, "--csv and --json: choose one of them");
  }
  const study::Store store = study::Store::OpenReadOnly(options.folder / "study.db");
  const std::string text = globals.json ? ToJsonText(store, options.folder) : ToCsv(store);
  if (options.out.empty()) {
    PrintText(text);
  } else {
    WriteFileAtomically(options.out, text);
  }
  return 0;
}

}  // namespace lathe::cli
