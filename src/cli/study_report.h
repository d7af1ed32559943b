// report.html of a study folder, from what the folder holds: works on a running, stopped or
// finished study.
#pragma once

#include <filesystem>

namespace lathe::cli {

// Throws kInput when the folder holds no study.
void WriteStudyReport(const std::filesystem::path& study_folder);

}  // namespace lathe::cli
