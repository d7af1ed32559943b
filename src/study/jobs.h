// jobs.json in a study's folder: what its controller has submitted, where it runs, and why it
// waits. For those who look on; nothing is decided by it.
#pragma once

#include <filesystem>
#include <vector>

#include "study/trial.h"

namespace lathe::study {

inline constexpr char kJobsFile[] = "jobs.json";

void WriteJobs(const std::filesystem::path& file, const std::vector<JobState>& jobs);
// None where there is no file. Throws kInput for a damaged one.
std::vector<JobState> ReadJobs(const std::filesystem::path& file);

}  // namespace lathe::study
