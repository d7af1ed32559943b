// Trials as the page's scripts read them: column by column, numbers in base64, so that a hundred
// thousand trials are a few megabytes and are there in a moment.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "report/report.h"

namespace lathe::report {

// {"f32": base64 of little-endian floats}. NaN: not known.
nlohmann::ordered_json NumberColumn(std::span<const double> values);

// {"names": distinct values in the order they come, "u8" (or "u16", "u32"): base64 of their
// indices}.
nlohmann::ordered_json NameColumn(std::span<const std::string> values);
nlohmann::ordered_json NameColumn(std::span<const int> values);

// All trials: {"count", "number", "state", "note", "accuracy", ..., "genes": [{"name", ...}]}.
// Results are known of trials that are complete.
nlohmann::ordered_json TrialColumns(const ReportData& data);

}  // namespace lathe::report
