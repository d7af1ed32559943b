#include "study/jobs.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {

using Json = nlohmann::ordered_json;

void WriteJobs(const fs::path& file, const std::vector<JobState>& jobs) {
  Json list = Json::array();
  for (const JobState& job : jobs) {
    list.push_back({{"trial", job.trial},
                    {"running", job.running},
                    {"job", job.job},
                    {"where", job.where},
                    {"reason", job.reason}});
  }
  const Json json = {{"format", "lathe-jobs"}, {"version", 1}, {"jobs", std::move(list)}};
  WriteFileQuickly(file, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::vector<JobState> ReadJobs(const fs::path& file) {
  std::error_code missing;
  if (!fs::exists(file, missing)) return {};
  std::vector<JobState> jobs;
  try {
    const Json json = Json::parse(ReadFile(file));
    for (const Json& job : json.at("jobs")) {
      jobs.push_back({.trial = job.at("trial"),
                      .running = job.at("running"),
                      .job = job.at("job"),
                      .where = job.at("where"),
                      .reason = job.at("reason")});
    }
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kInput, "{}: damaged: {}", file.string(), error.what());
  }
  return jobs;
}

}  // namespace lathe::study
