// lathe lut import: a LUT from latencies that others measured.
#pragma once

#include "cli/common.h"

namespace lathe::cli {

void AddLutImport(CLI::App& lut, const Globals& globals, Action& action);

}  // namespace lathe::cli
