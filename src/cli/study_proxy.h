// `lathe study proxy`: how far short trainings can be trusted.
#pragma once

#include <filesystem>

#include "cli/common.h"

namespace lathe::cli {

int CheckProxy(const Globals& globals, const std::filesystem::path& folder);

}  // namespace lathe::cli
