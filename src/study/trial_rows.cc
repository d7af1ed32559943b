#include "study/trial_rows.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "study/parameters.h"

namespace lathe::study {
namespace {

using Json = nlohmann::ordered_json;

// Trials by id; ids ascend with numbers, and nearly always follow one another.
class ById {
 public:
  TrialRecord& Add(int64_t id) {
    ids_.push_back(id);
    return trials_.emplace_back();
  }
  // nullptr: a trial of somebody else's study. Fast for ids that come in order.
  TrialRecord* Find(int64_t id) {
    if (at_ >= ids_.size() || ids_[at_] != id) {
      at_ = static_cast<size_t>(std::ranges::lower_bound(ids_, id) - ids_.begin());
    }
    return at_ < ids_.size() && ids_[at_] == id ? &trials_[at_] : nullptr;
  }
  std::vector<TrialRecord> Take() { return std::move(trials_); }

 private:
  std::vector<int64_t> ids_;
  std::vector<TrialRecord> trials_;
  size_t at_ = 0;
};

std::vector<int> ParseEncoding(std::string_view text, size_t parameters, const fs::path& path) {
  std::vector<int> encoding(parameters);
  const char* at = text.data();
  const char* const end = at + text.size();
  for (size_t i = 0; i < parameters; ++i) {
    const auto [next, error] = std::from_chars(at, end, encoding[i]);
    const bool last = i + 1 == parameters;
    if (error != std::errc() || (last ? next != end : next == end || *next != ',')) {
      throw Error(ErrorKind::kInput, "{}: damaged: a trial's encoding is '{}'", path.string(),
                  text);
    }
    at = next + 1;
  }
  return encoding;
}

void ReadRows(const Database& database, int64_t study_id, size_t parameters, bool fast,
              ById* by_id) {
  Statement trials = database.Prepare(fmt::format(
      "SELECT trial_id, number, state, latency_us, starts, crashes, reason, begin_s, end_s, "
      "value, {} FROM trials "
      "JOIN lathe_trial USING (trial_id) LEFT JOIN trial_values USING (trial_id) WHERE study_id "
      "= ? AND coalesce(objective, 0) = 0 ORDER BY trial_id",
      fast ? "encoding" : "''"));
  trials.Bind(study_id);
  while (trials.Step()) {
    TrialRecord& trial = by_id->Add(trials.Int(0));
    trial.number = trials.Int(1);
    trial.state = StateOf(trials.Text(2), database.path());
    trial.latency_us = trials.Real(3);
    trial.starts = static_cast<int>(trials.Int(4));
    trial.crashes = static_cast<int>(trials.Int(5));
    trial.reason = trials.Text(6);
    trial.begin = trials.Real(7);
    trial.end = trials.Real(8);
    if (!trials.IsNull(9)) trial.value = trials.Real(9);
    if (fast) {
      trial.encoding = ParseEncoding(trials.View(10), parameters, database.path());
    } else {
      trial.encoding.resize(parameters);
    }
  }
}

void ReadParameters(const Database& database, const std::vector<Parameter>& parameters,
                    ById* by_id) {
  std::map<std::string, size_t> positions;
  for (size_t i = 0; i < parameters.size(); ++i) positions[parameters[i].name] = i;
  Statement values = database.Prepare("SELECT trial_id, param_name, param_value FROM trial_params");
  while (values.Step()) {
    TrialRecord* trial = by_id->Find(values.Int(0));
    const auto position = positions.find(values.Text(1));
    if (trial == nullptr || position == positions.end()) continue;
    trial->encoding[position->second] = ExternalValue(parameters[position->second], values.Real(2));
  }
}

// JSON text of a number, or null for one that is none; nullopt for other JSON.
std::optional<double> NumberOf(std::string_view json) {
  double value = 0;
  const auto [end, error] = std::from_chars(json.data(), json.data() + json.size(), value);
  if (error == std::errc() && end == json.data() + json.size()) return value;
  if (json == "null") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

void ReadAttributes(const Database& database, ById* by_id) {
  constexpr std::string_view kConstraint = "constraints:";
  Statement attributes = database.Prepare(
      "SELECT trial_id, key, value_json FROM trial_user_attributes UNION ALL "
      "SELECT trial_id, key, value_json FROM trial_system_attributes WHERE key LIKE "
      "'constraints:%'");
  while (attributes.Step()) {
    TrialRecord* trial = by_id->Find(attributes.Int(0));
    const std::string_view key = attributes.View(1);
    if (trial == nullptr || key == kLatencyAttribute) continue;
    if (key == kImportedFromAttribute) {
      const Json json = Json::parse(attributes.View(2), nullptr, /*allow_exceptions=*/false);
      if (json.is_string()) trial->imported_from = json;
      continue;
    }
    const std::optional<double> value = NumberOf(attributes.View(2));
    if (!value) continue;  // "reason", or a note added with Optuna
    if (key.starts_with(kConstraint)) {
      trial->constraints[std::string(key.substr(kConstraint.size()))] = *value;
    } else {
      trial->metrics[std::string(key)] = *value;
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
                                    const std::vector<Parameter>& parameters, bool fast) {
  ById by_id;
  ReadRows(database, study_id, parameters.size(), fast, &by_id);
  if (!fast) ReadParameters(database, parameters, &by_id);
  ReadAttributes(database, &by_id);
  std::vector<TrialRecord> trials = by_id.Take();
  std::ranges::sort(trials, {}, &TrialRecord::number);
  return trials;
}

std::string EncodingText(const std::vector<int>& encoding) {
  return fmt::format("{}", fmt::join(encoding, ","));
}

}  // namespace lathe::study
