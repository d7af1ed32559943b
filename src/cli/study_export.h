// Everything that study.db knows, as one CSV table of the trials or one JSON document.
#pragma once

#include <filesystem>

#include "cli/common.h"

namespace lathe::cli {

struct ExportOptions {
  std::filesystem::path folder;
  std::filesystem::path out;  // empty: stdout
  bool csv = false;           // asked for; also what is written where JSON is not
};

// Returns the exit code. Throws kUsage where both formats are asked for.
int ExportStudy(const Globals& globals, const ExportOptions& options);

}  // namespace lathe::cli
