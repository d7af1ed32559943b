// Slurm's commands as Lathe calls them: started beside the caller, who polls for what they print.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "executor/slurm.h"
#include "executor/slurm_text.h"

namespace lathe::executor {

using SlurmCommand = std::unique_ptr<CapturedProcess>;

// `job` is the array's and `index` the element's, if it is one: "12_3".
std::string IdText(int64_t job, std::optional<int> index);

// Submits the script in `file`, as a job array if it has several folders.
SlurmCommand StartSbatch(const SlurmOptions& options, const JobScript& script,
                         const std::string& job_name, const std::filesystem::path& file);
// For ParseQueue(): all jobs of this user, those that ended a while ago among them.
SlurmCommand StartSqueue();
// For ParseAccounts(). Both take IdText() of jobs.
SlurmCommand StartSacct(const std::vector<std::string>& jobs);
SlurmCommand StartScancel(const std::vector<std::string>& jobs);

}  // namespace lathe::executor
