#include "study/store.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "study/call_table.h"
#include "study/parameters.h"
#include "study/sqlite.h"
#include "study/stored_study.h"
#include "study/trial_rows.h"

namespace lathe::study {
namespace {

using Json = nlohmann::ordered_json;

// Local time with microseconds, as Optuna writes it.
std::string DateTime(double seconds) {
  auto whole = static_cast<std::time_t>(std::floor(seconds));
  std::tm local{};
  localtime_r(&whole, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  const int micros = std::min(999999, static_cast<int>((seconds - std::floor(seconds)) * 1e6));
  return fmt::format("{}.{:06d}", text, micros);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// While another error is under way, which says more.
void CommitIfPossible(Transaction& transaction) {
  try {
    transaction.Commit();
  } catch (const Error& error) {
    spdlog::debug("{}", error.what());
  }
}

}  // namespace

struct Store::Impl {
  Impl(const fs::path& path, Database::Mode mode) : database(path, mode) {}

  void SetValues(int64_t trial_id, const TrialRecord& trial) const {
    for (int64_t objective = 0; objective < study.ValuesPerTrial(); ++objective) {
      database
          .Prepare(
              "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, "
              "'FINITE')")
          .Bind(trial_id)
          .Bind(objective)
          .Bind(objective == 0 ? *trial.value : trial.latency_us)
          .Run();
    }
  }

  int64_t TrialId(int64_t number) const {
    Statement statement =
        database.Prepare("SELECT trial_id FROM trials WHERE study_id = ? AND number = ?");
    if (!statement.Bind(study.id).Bind(number).Step()) {
      throw Error(ErrorKind::kInternal, "{}: has no trial {}", database.path().string(), number);
    }
    return statement.Int(0);
  }

  // The id of a trial that is not finished.
  int64_t OpenTrialId(int64_t number) const {
    const int64_t id = TrialId(number);
    Statement statement = database.Prepare("SELECT state FROM trials WHERE trial_id = ?");
    statement.Bind(id).Step();
    const std::string state = statement.Text(0);
    if (IsFinished(StateOf(state, database.path()))) {
      throw Error(ErrorKind::kInternal, "{}: trial {} is finished already ({})",
                  database.path().string(), number, state);
    }
    return id;
  }

  void SetAttribute(const char* table, int64_t trial_id, const std::string& key,
                    const Json& value) const {
    database
        .Prepare(fmt::format(
            "INSERT OR REPLACE INTO {} (trial_id, key, value_json) VALUES (?, ?, ?)", table))
        .Bind(trial_id)
        .Bind(key)
        .Bind(Dump(value))
        .Run();
  }

  void SetMetrics(int64_t trial_id, const std::map<std::string, double>& metrics) const {
    for (const auto& [key, value] : metrics) {
      if (key != kLatencyAttribute) SetAttribute("trial_user_attributes", trial_id, key, value);
    }
  }

  int64_t NextNumber() const {
    Statement statement =
        database.Prepare("SELECT coalesce(max(number) + 1, 0) FROM trials WHERE study_id = ?");
    statement.Bind(study.id).Step();
    return statement.Int(0);
  }

  // These write within the caller's transaction.
  void CreateTrial(const TrialRecord& trial, CallKind call) const {
    if (trial.encoding.size() != study.parameters.size() || trial.number != NextNumber()) {
      throw Error(ErrorKind::kInternal, "trial {} with {} values does not fit: next is {}, with {}",
                  trial.number, trial.encoding.size(), NextNumber(), study.parameters.size());
    }
    database.Prepare("INSERT INTO trials (number, study_id, state) VALUES (?, ?, 'WAITING')")
        .Bind(trial.number)
        .Bind(study.id)
        .Run();
    const int64_t id = database.LastId();
    database.Prepare("INSERT INTO lathe_trial (trial_id, latency_us, encoding) VALUES (?, ?, ?)")
        .Bind(id)
        .Bind(trial.latency_us)
        .Bind(EncodingText(trial.encoding))
        .Run();
    Statement insert = database.Prepare(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES "
        "(?, ?, ?, ?)");
    for (size_t i = 0; i < trial.encoding.size(); ++i) {
      const Parameter& parameter = study.parameters[i];
      insert.Bind(id)
          .Bind(parameter.name)
          .Bind(InternalValue(parameter, trial.encoding[i]))
          .Bind(DistributionOf(parameter))
          .Run();
    }
    SetMetrics(id, trial.metrics);
    SetAttribute("trial_user_attributes", id, kLatencyAttribute, trial.latency_us);
    for (const auto& [key, violation] : trial.constraints) {
      SetAttribute("trial_system_attributes", id, "constraints:" + key, violation);
    }
    WriteCall(database, {.kind = call, .trial = trial.number});
  }

  void FinishTrial(const TrialRecord& trial) const {
    if (!IsFinished(trial.state)) {
      throw Error(ErrorKind::kInternal, "trial {} cannot be finished as {}", trial.number,
                  Name(trial.state));
    }
    if (trial.state == TrialState::kComplete && !(trial.value && std::isfinite(*trial.value))) {
      throw Error(ErrorKind::kInternal, "trial {} is complete without a finite value",
                  trial.number);
    }
    const double now = trial.end > 0 ? trial.end : UnixSeconds();
    const int64_t id = OpenTrialId(trial.number);
    database.Prepare("UPDATE trials SET state = ?, datetime_complete = ? WHERE trial_id = ?")
        .Bind(Name(trial.state))
        .Bind(DateTime(now))
        .Bind(id)
        .Run();
    database.Prepare("UPDATE lathe_trial SET end_s = ?, reason = ? WHERE trial_id = ?")
        .Bind(now)
        .Bind(trial.reason)
        .Bind(id)
        .Run();
    if (trial.value) SetValues(id, trial);
    SetMetrics(id, trial.metrics);
    if (!trial.reason.empty()) SetAttribute("trial_user_attributes", id, "reason", trial.reason);
    WriteCall(
        database,
        {.kind = CallKind::kTell, .trial = trial.number, .step = {}, .value = trial.Outcome()});
  }

  // Optuna wants a beginning, too.
  void MarkImported(const TrialRecord& trial) const {
    const int64_t id = TrialId(trial.number);
    const double now = UnixSeconds();
    database.Prepare("UPDATE trials SET datetime_start = ? WHERE trial_id = ?")
        .Bind(DateTime(now))
        .Bind(id)
        .Run();
    database.Prepare("UPDATE lathe_trial SET begin_s = ? WHERE trial_id = ?")
        .Bind(now)
        .Bind(id)
        .Run();
    SetAttribute("trial_user_attributes", id, kImportedFromAttribute, trial.imported_from);
  }

  void SetValue(const std::string& key, const std::string& value) const {
    database.Prepare("INSERT OR REPLACE INTO lathe_value (key, value) VALUES (?, ?)")
        .Bind(key)
        .Bind(value)
        .Run();
  }

  Database database;
  StoredStudy study;
};

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;
Store::Store(Store&&) noexcept = default;

Store::Store(const fs::path& path, const std::string& study_name,
             const std::vector<Parameter>& parameters, search::Goal goal)
    : impl_(std::make_unique<Impl>(path, Database::Mode::kCreate)) {
  const Database& database = impl_->database;
  const StoredStudy wanted{.name = study_name, .parameters = parameters, .goal = goal};
  impl_->study = database.IsEmpty() ? CreateStoredStudy(database, wanted)
                                    : ContinueStoredStudy(database, wanted);
}

Store Store::OpenReadOnly(const fs::path& path) {
  if (!fs::exists(path)) {
    throw Error(ErrorKind::kInput, "{}: no such file; is this the folder of a study?",
                path.string());
  }
  Store store(std::make_unique<Impl>(path, Database::Mode::kReadOnly));
  store.impl_->study = ReadStoredStudy(store.impl_->database);
  return store;
}

int64_t Store::next_number() const { return impl_->NextNumber(); }

TrialCounts Store::Count() const {
  TrialCounts counts;
  const Transaction snapshot(impl_->database, Transaction::Kind::kRead);
  Statement states = impl_->database.Prepare(
      "SELECT state, count(*) FROM trials WHERE study_id = ? GROUP BY state");
  states.Bind(impl_->study.id);
  while (states.Step())
    counts.states[StateOf(states.Text(0), impl_->database.path())] = states.Int(1);
  // Ended without ever having been started.
  Statement imported =
      impl_->database.Prepare("SELECT count(*) FROM lathe_trial WHERE starts = 0 AND end_s > 0");
  imported.Step();
  counts.imported = imported.Int(0);
  return counts;
}

void Store::Create(const TrialRecord& trial, CallKind call) {
  Transaction transaction(impl_->database);
  impl_->CreateTrial(trial, call);
  transaction.Commit();
}

void Store::Import(const std::vector<TrialRecord>& trials, const std::string& key,
                   const std::string& value) {
  Transaction transaction(impl_->database);
  for (const TrialRecord& trial : trials) {
    impl_->CreateTrial(trial, CallKind::kAdd);
    impl_->MarkImported(trial);
    impl_->FinishTrial(trial);
  }
  impl_->SetValue(key, value);
  transaction.Commit();
}

void Store::SetRunning(int64_t number) {
  const Database& database = impl_->database;
  const double now = UnixSeconds();
  Transaction transaction(database);
  const int64_t id = impl_->OpenTrialId(number);
  database
      .Prepare(
          "UPDATE trials SET state = 'RUNNING', datetime_start = coalesce(datetime_start, ?) WHERE "
          "trial_id = ?")
      .Bind(DateTime(now))
      .Bind(id)
      .Run();
  database
      .Prepare(
          "UPDATE lathe_trial SET starts = starts + 1, begin_s = iif(begin_s = 0, ?, begin_s) "
          "WHERE trial_id = ?")
      .Bind(now)
      .Bind(id)
      .Run();
  transaction.Commit();
}

void Store::AddCrash(int64_t number, const std::string& reason) {
  impl_->database
      .Prepare("UPDATE lathe_trial SET crashes = crashes + 1, reason = ? WHERE trial_id = ?")
      .Bind(reason)
      .Bind(impl_->OpenTrialId(number))
      .Run();
}

bool Store::AddReport(int64_t number, const EpochReport& report) {
  const Database& database = impl_->database;
  const double value = report.measured;
  const char* type = std::isnan(value)      ? "NAN"
                     : std::isfinite(value) ? "FINITE"
                     : value > 0            ? "INF_POS"
                                            : "INF_NEG";
  Transaction transaction(database);
  const int64_t id = impl_->OpenTrialId(number);
  if (database.Prepare("SELECT 1 FROM lathe_call WHERE kind = 'report' AND trial = ? AND step = ?")
          .Bind(number)
          .Bind(int64_t{report.step})
          .Step()) {
    return false;
  }
  database
      .Prepare(
          "INSERT OR REPLACE INTO trial_intermediate_values (trial_id, step, intermediate_value, "
          "intermediate_value_type) VALUES (?, ?, ?, ?)")
      .Bind(id)
      .Bind(int64_t{report.step})
      .Bind(std::isfinite(value) ? std::optional(value) : std::nullopt)
      .Bind(type)
      .Run();
  WriteCall(
      database,
      {.kind = CallKind::kReport, .trial = number, .step = report.step, .value = report.objective});
  transaction.Commit();
  return true;
}

void Store::Finish(const TrialRecord& trial) {
  Transaction transaction(impl_->database);
  impl_->FinishTrial(trial);
  transaction.Commit();
}

double TrialRecord::Metric(const std::string& name) const {
  const auto found = metrics.find(name);
  return found == metrics.end() ? 0.0 : found->second;
}

std::optional<double> TrialRecord::Outcome() const {
  return state == TrialState::kComplete ? value : std::nullopt;
}

std::vector<TrialRecord> Store::Trials() const {
  const Transaction snapshot(impl_->database, Transaction::Kind::kRead);
  return ReadTrials(impl_->database, impl_->study);
}

std::vector<Call> Store::Calls() const {
  const Transaction snapshot(impl_->database, Transaction::Kind::kRead);
  return ReadCalls(impl_->database, impl_->study);
}

std::string Store::study_name() const { return impl_->study.name; }
std::vector<Parameter> Store::parameters() const { return impl_->study.parameters; }

void Store::InOneWrite(const std::function<void()>& changes) {
  Transaction transaction(impl_->database);
  try {
    changes();
  } catch (const Error&) {
    CommitIfPossible(transaction);  // what was found out before is true all the same
    throw;
  }
  transaction.Commit();
}

void Store::LogEvent(const std::string& text) {
  impl_->database.Prepare("INSERT INTO lathe_event (time_s, text) VALUES (?, ?)")
      .Bind(UnixSeconds())
      .Bind(text)
      .Run();
}

std::vector<std::pair<double, std::string>> Store::Events() const {
  std::vector<std::pair<double, std::string>> events;
  Statement statement =
      impl_->database.Prepare("SELECT time_s, text FROM lathe_event ORDER BY event_id");
  while (statement.Step()) events.emplace_back(statement.Real(0), statement.Text(1));
  return events;
}

void Store::SetValue(const std::string& key, const std::string& value) {
  impl_->SetValue(key, value);
}

std::optional<std::string> Store::Value(const std::string& key) const {
  Statement statement = impl_->database.Prepare("SELECT value FROM lathe_value WHERE key = ?");
  if (!statement.Bind(key).Step()) return std::nullopt;
  return statement.Text(0);
}

}  // namespace lathe::study
