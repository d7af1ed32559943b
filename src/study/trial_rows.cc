#include "study/trial_rows.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "study/parameters.h"

namespace lathe::study {
namespace {

using Json = nlohmann::ordered_json;

using ById = std::map<int64_t, TrialRecord>;

void ReadRows(const Database& database, int64_t study_id, size_t parameters, ById* by_id) {
  Statement trials = database.Prepare(
      "SELECT trial_id, number, state, latency_us, starts, crashes, reason, begin_s, end_s, "
      "value FROM trials "
      "JOIN lathe_trial USING (trial_id) LEFT JOIN trial_values USING (trial_id) WHERE study_id "
      "= ? AND coalesce(objective, 0) = 0");
  trials.Bind(study_id);
  while (trials.Step()) {
    TrialRecord& trial = (*by_id)[trials.Int(0)];
    trial.number = trials.Int(1);
    trial.state = StateOf(trials.Text(2), database.path());
    trial.encoding.resize(parameters);
    trial.latency_us = trials.Real(3);
    trial.starts = static_cast<int>(trials.Int(4));
    trial.crashes = static_cast<int>(trials.Int(5));
    trial.reason = trials.Text(6);
    trial.begin = trials.Real(7);
    trial.end = trials.Real(8);
    if (!trials.IsNull(9)) trial.value = trials.Real(9);
  }
}

void ReadParameters(const Database& database, const std::vector<Parameter>& parameters,
                    ById* by_id) {
  std::map<std::string, size_t> positions;
  for (size_t i = 0; i < parameters.size(); ++i) positions[parameters[i].name] = i;
  Statement values = database.Prepare("SELECT trial_id, param_name, param_value FROM trial_params");
  while (values.Step()) {
    const auto trial = by_id->find(values.Int(0));
    const auto position = positions.find(values.Text(1));
    if (trial == by_id->end() || position == positions.end()) continue;
    trial->second.encoding[position->second] =
        ExternalValue(parameters[position->second], values.Real(2));
  }
}

void ReadAttributes(const Database& database, ById* by_id) {
  constexpr std::string_view kConstraint = "constraints:";
  Statement attributes = database.Prepare(
      "SELECT trial_id, key, value_json FROM trial_user_attributes UNION ALL "
      "SELECT trial_id, key, value_json FROM trial_system_attributes WHERE key LIKE "
      "'constraints:%'");
  while (attributes.Step()) {
    const auto trial = by_id->find(attributes.Int(0));
    const std::string key = attributes.Text(1);
    if (trial == by_id->end() || key == kLatencyAttribute) continue;
    const Json json = Json::parse(attributes.Text(2), nullptr, /*allow_exceptions=*/false);
    if (key == kImportedFromAttribute && json.is_string()) trial->second.imported_from = json;
    const double value =
        json.is_number() ? json.get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!json.is_number() && !json.is_null()) continue;  // "reason", or a note added with Optuna
    if (key.starts_with(kConstraint)) {
      trial->second.constraints[key.substr(kConstraint.size())] = value;
    } else {
      trial->second.metrics[key] = value;
    }
  }
}

}  // namespace

TrialState StateOf(const std::string& name, const fs::path& path) {
  for (const TrialState state : {TrialState::kWaiting, TrialState::kRunning, TrialState::kComplete,
                                 TrialState::kPruned, TrialState::kFail}) {
    if (Name(state) == name) return state;
  }
  throw Error(ErrorKind::kInput, "{}: damaged: a trial is in the unknown state '{}'", path.string(),
              name);
}

std::vector<TrialRecord> ReadTrials(const Database& database, int64_t study_id,
                                    const std::vector<Parameter>& parameters) {
  ById by_id;
  ReadRows(database, study_id, parameters.size(), &by_id);
  ReadParameters(database, parameters, &by_id);
  ReadAttributes(database, &by_id);
  std::vector<TrialRecord> trials;
  for (auto& [id, trial] : by_id) trials.push_back(std::move(trial));
  std::ranges::sort(trials, {}, &TrialRecord::number);
  return trials;
}

}  // namespace lathe::study
