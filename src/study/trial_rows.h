// Reading trials from study.db, where Optuna's tables spread them over many rows.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "study/sqlite.h"
#include "study/store.h"

namespace lathe::study {

// Among a trial's user attributes, beside its metrics.
inline constexpr char kLatencyAttribute[] = "latency_us";  // the LUT's
inline constexpr char kImportedFromAttribute[] = "imported_from";

// Of "RUNNING" and so on, as Optuna writes states. Throws kInput naming the database for another.
TrialState StateOf(const std::string& name, const std::filesystem::path& path);

// By number. Within the caller's transaction. Throws kInput for what is damaged. `fast`: the
// database has kFastSchema.
std::vector<TrialRecord> ReadTrials(const Database& database, int64_t study_id,
                                    const std::vector<Parameter>& parameters, bool fast);

// "28,16,3", as lathe_trial has it.
std::string EncodingText(const std::vector<int>& encoding);

}  // namespace lathe::study
