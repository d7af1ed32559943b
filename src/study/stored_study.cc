#include "study/stored_study.h"

#include <string_view>
#include <utility>

#include "base/error.h"
#include "study/call_table.h"
#include "study/parameters.h"
#include "study/trial_rows.h"

namespace lathe::study {
namespace {

std::string_view WordsFor(search::Goal goal) {
  return goal == search::Goal::kFront ? "a front of accuracy and latency" : "the least objective";
}

void CheckThatItIs(const StoredStudy& wanted, const StoredStudy& study, const std::string& path) {
  if (study.name != wanted.name) {
    throw Error(ErrorKind::kInput, "{}: holds the study '{}', not '{}'; use another folder", path,
                study.name, wanted.name);
  }
  if (study.goal != wanted.goal) {
    throw Error(
        ErrorKind::kInput,
        "{}: the study looks for {}, not for {}; restore [search] goal, or start a new study", path,
        WordsFor(study.goal), WordsFor(wanted.goal));
  }
  const std::string difference = Difference(study.parameters, wanted.parameters);
  if (!difference.empty()) {
    throw Error(ErrorKind::kInput,
                "{}: the study was made with another space: {}. Restore the space and its "
                "restrictions, or start a new study",
                path, difference);
  }
}

// Nobody wrote down in which order an older study's proposer was told; it was restored by number.
std::vector<Call> CallsByNumber(const std::vector<TrialRecord>& trials) {
  std::vector<Call> calls;
  for (const TrialRecord& trial : trials) {
    calls.push_back({.kind = CallKind::kAdd, .trial = trial.number});
    if (!IsFinished(trial.state)) continue;
    calls.push_back(
        {.kind = CallKind::kTell, .trial = trial.number, .step = {}, .value = trial.Outcome()});
  }
  return calls;
}

void Upgrade(const Database& database, StoredStudy* study) {
  if (study->version == kStoreVersion) return;
  Transaction transaction(database);
  const std::vector<TrialRecord> trials = ReadTrials(database, *study);
  if (study->version < kCallVersion) {
    database.Execute(kCallSchema);
    for (const Call& call : CallsByNumber(trials)) WriteCall(database, call);
  }
  database.Execute(kFastSchema);
  Statement set = database.Prepare(
      "UPDATE lathe_trial SET encoding = ? WHERE trial_id = (SELECT trial_id FROM trials WHERE "
      "study_id = ? AND number = ?)");
  for (const TrialRecord& trial : trials) {
    set.Bind(EncodingText(trial.encoding)).Bind(study->id).Bind(trial.number).Run();
  }
  database.Prepare("UPDATE lathe_info SET version = ?").Bind(int64_t{kStoreVersion}).Run();
  transaction.Commit();
  study->version = kStoreVersion;
}

}  // namespace

StoredStudy CreateStoredStudy(const Database& database, StoredStudy wanted) {
  Transaction transaction(database);
  database.Execute(kOptunaSchema);
  database.Execute(kLatheSchema);
  database.Execute(kCallSchema);
  database.Execute(kFastSchema);
  database.Prepare("INSERT INTO studies (study_name) VALUES (?)").Bind(wanted.name).Run();
  wanted.id = database.LastId();
  for (int64_t objective = 0; objective < wanted.ValuesPerTrial(); ++objective) {
    database
        .Prepare(
            "INSERT INTO study_directions (direction, study_id, objective) VALUES ('MINIMIZE', ?, "
            "?)")
        .Bind(wanted.id)
        .Bind(objective)
        .Run();
  }
  database.Prepare("INSERT INTO lathe_info (version, study_id, parameters_json) VALUES (?, ?, ?)")
      .Bind(int64_t{kStoreVersion})
      .Bind(wanted.id)
      .Bind(ToJson(wanted.parameters))
      .Run();
  transaction.Commit();
  return wanted;
}

StoredStudy ReadStoredStudy(const Database& database) {
  const std::string path = database.path().string();
  if (!database.HasTable("lathe_info")) {
    throw Error(ErrorKind::kInput, "{}: an SQLite database, but no study of Lathe's", path);
  }
  Statement info = database.Prepare(
      "SELECT version, study_id, parameters_json, study_name FROM lathe_info JOIN studies USING "
      "(study_id)");
  if (!info.Step()) throw Error(ErrorKind::kInput, "{}: damaged: it names no study", path);
  if (info.Int(0) > kStoreVersion) {
    throw Error(ErrorKind::kInput,
                "{}: written by a newer Lathe (format {}, this program knows {}); update Lathe",
                path, info.Int(0), kStoreVersion);
  }
  StoredStudy study{.name = info.Text(3),
                    .parameters = ParseParameters(info.Text(2), database.path()),
                    .id = info.Int(1),
                    .version = info.Int(0)};
  Statement directions =
      database.Prepare("SELECT count(*) FROM study_directions WHERE study_id = ?");
  directions.Bind(study.id).Step();
  study.goal = directions.Int(0) > 1 ? search::Goal::kFront : search::Goal::kLeast;
  // Optuna's own upgrade may change its tables.
  Statement revision = database.Prepare("SELECT version_num FROM alembic_version");
  if (!revision.Step() || revision.Text(0) != "v3.2.0.a") {
    throw Error(ErrorKind::kInput,
                "{}: its Optuna tables were upgraded to a version this program does not know",
                path);
  }
  return study;
}

StoredStudy ContinueStoredStudy(const Database& database, const StoredStudy& wanted) {
  StoredStudy study = ReadStoredStudy(database);
  CheckThatItIs(wanted, study, database.path().string());
  Upgrade(database, &study);
  return study;
}

std::vector<TrialRecord> ReadTrials(const Database& database, const StoredStudy& study) {
  return ReadTrials(database, study.id, study.parameters, study.version >= kFastVersion);
}

std::vector<Call> ReadCalls(const Database& database, const StoredStudy& study) {
  return study.version < kCallVersion ? CallsByNumber(ReadTrials(database, study))
                                      : ReadCalls(database);
}

}  // namespace lathe::study
