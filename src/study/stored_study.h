// The study that a study.db holds: made in an empty database, recognised in one that is there,
// brought up to date. Nothing here changes a trial.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "search/proposer.h"
#include "study/calls.h"
#include "study/sqlite.h"
#include "study/store.h"
#include "study/store_schema.h"

namespace lathe::study {

struct StoredStudy {
  std::string name;
  std::vector<Parameter> parameters;
  search::Goal goal = search::Goal::kLeast;
  int64_t id = 0;
  int64_t version = kStoreVersion;

  int64_t ValuesPerTrial() const { return goal == search::Goal::kFront ? 2 : 1; }
};

// All tables in one transaction: a killed process leaves an empty file or a whole study.
StoredStudy CreateStoredStudy(const Database& database, StoredStudy wanted);
// Whichever it is, unchanged. Throws kInput where there is none, a damaged one, or a newer version.
StoredStudy ReadStoredStudy(const Database& database);
// Brings it up to date. Throws kInput likewise, and for another study than the wanted one.
StoredStudy ContinueStoredStudy(const Database& database, const StoredStudy& wanted);

// Of a study of any version, within the caller's transaction. Throws kInput for what is damaged.
std::vector<TrialRecord> ReadTrials(const Database& database, const StoredStudy& study);
std::vector<Call> ReadCalls(const Database& database, const StoredStudy& study);

}  // namespace lathe::study
