// lathe study status: what a study is doing, why anything waits, and what it has found so far.
#pragma once

#include <filesystem>

#include "cli/common.h"

namespace lathe::cli {

// `watch_seconds` above 0: again every so many seconds, until the search ends or the user stops.
// Returns the exit code.
int ShowStatus(const Globals& globals, const std::filesystem::path& folder, double watch_seconds);

}  // namespace lathe::cli
