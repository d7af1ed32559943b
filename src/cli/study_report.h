// report.html of a study folder, from what the folder holds: works on a running, stopped or
// finished study.
#pragma once

#include <filesystem>

#include "report/report.h"

namespace lathe::cli {

// Throws kInput when the folder holds no study.
report::ReportData ReadStudyReport(const std::filesystem::path& study_folder);
void WriteStudyReport(const std::filesystem::path& study_folder);

}  // namespace lathe::cli
