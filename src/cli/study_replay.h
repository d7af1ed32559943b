// `lathe study replay`: the proposals of a study, made again.
#pragma once

#include <filesystem>

#include "cli/common.h"

namespace lathe::cli {

// Returns 1 when a proposal differs.
int ReplayStudy(const Globals& globals, const std::filesystem::path& folder);

}  // namespace lathe::cli
