#include "cli/study_status.h"

#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/table.h"
#include "cli/finalists.h"
#include "cli/search_job.h"
#include "study/batch.h"
#include "study/config.h"
#include "study/controller.h"
#include "study/jobs.h"
#include "study/search_clock.h"
#include "study/store.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kEvents = 10, kJobs = 20;  // shown

struct Job {
  study::JobState state;
  study::TrialProgress progress;
};

struct Status {
  std::string name;
  int trials = 0;  // of the study file
  bool searching = false;
  study::TrialCounts counts;
  std::optional<double> seconds_left;  // until the last trial ends, once that can be said
  std::vector<Job> jobs;
  std::vector<std::pair<double, std::string>> events;
  FinalistTable finalists;

  int64_t Count(study::TrialState state) const {
    const auto found = counts.states.find(state);
    return found == counts.states.end() ? 0 : found->second;
  }
};

Status ReadStatus(const fs::path& folder) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  Status status{.name = store.study_name(),
                .trials = study::LoadStudy(folder / "study.toml").trials,
                .searching = IsSearching(folder),
                .counts = store.Count(),
                .events = store.Events(),
                .finalists = ReadFinalists(folder)};
  if (!status.searching) return status;  // the jobs of a dead controller are history
  if (const std::optional<double> end = study::ForeseenEnd(store); end && *end > UnixSeconds())
    status.seconds_left = *end - UnixSeconds();
  for (const study::JobState& job : study::ReadJobs(folder / study::kJobsFile)) {
    status.jobs.push_back(
        {.state = job,
         .progress = study::ReadProgress(folder / "trials" / study::TrialFolderName(job.trial))});
  }
  return status;
}

nlohmann::ordered_json JsonOf(const Status& status) {
  nlohmann::ordered_json states, jobs = nlohmann::ordered_json::array();
  for (const auto& [state, count] : status.counts.states)
    states[std::string(study::Name(state))] = count;
  for (const Job& job : status.jobs) {
    jobs.push_back({{"trial", job.state.trial},
                    {"running", job.state.running},
                    {"job", job.state.job},
                    {"where", job.state.where},
                    {"reason", job.state.reason},
                    {"step", job.progress.step},
                    {"steps", job.progress.steps},
                    {"seconds_left", job.progress.seconds_left}});
  }
  return {{"study", status.name},
          {"searching", status.searching},
          {"trials", status.trials},
          {"states", states},
          {"imported", status.counts.imported},
          {"seconds_left", status.seconds_left ? nlohmann::ordered_json(*status.seconds_left)
                                               : nlohmann::ordered_json()},
          {"jobs", jobs},
          {"finalists", ToJson(status.finalists)}};
}

std::vector<std::string> RowOf(const Job& job) {
  const study::TrialProgress& at = job.progress;
  const bool moves = job.state.running && at.steps > 0;
  return {std::to_string(job.state.trial),
          job.state.running ? "running" : "waits",
          moves ? FormatPercent(static_cast<double>(at.step) / static_cast<double>(at.steps)) : "-",
          moves ? FormatSeconds(at.seconds_left) : "-",
          job.state.job,
          job.state.running ? job.state.where : job.state.reason};
}

std::string TextOf(const Status& status, const fs::path& folder) {
  std::string text = fmt::format("study {}: ", status.name);
  for (const auto& [state, count] : status.counts.states)
    text += fmt::format("{} {}, ", count, study::Name(state));
  text += fmt::format("of {} trials", status.trials);
  if (status.counts.imported > 0) text += fmt::format(" and {} imported", status.counts.imported);
  if (status.seconds_left)
    text += fmt::format("; about {} left for them", FormatSeconds(*status.seconds_left));
  text += status.searching ? "\n" : "; no search is running\n";
  if (!status.jobs.empty()) {
    std::vector<std::vector<std::string>> rows = {
        {"trial", "", "done", "left", "job", "where, or why"}};
    for (const Job& job : status.jobs) {
      if (rows.size() <= kJobs) rows.push_back(RowOf(job));
    }
    text += FormatTable(rows);
    if (status.jobs.size() > kJobs)
      text += fmt::format("and {} more\n", status.jobs.size() - kJobs);
  }
  const size_t first = status.events.size() - std::min(kEvents, status.events.size());
  for (size_t i = first; i < status.events.size(); ++i)
    text += fmt::format("  {}\n", status.events[i].second);
  if (!status.finalists.rows.empty()) text += ToText(status.finalists, folder);
  return text;
}

}  // namespace

int ShowStatus(const Globals& globals, const fs::path& folder, double watch_seconds) {
  constexpr std::string_view kTopOfScreen = "\033[H\033[2J";
  InstallStopHandler();
  while (true) {
    const Status status = ReadStatus(folder);
    if (watch_seconds > 0 && isatty(STDOUT_FILENO) != 0 && !globals.json)
      PrintText(std::string(kTopOfScreen));
    globals.json ? PrintJson(JsonOf(status)) : PrintText(TextOf(status, folder));
    if (watch_seconds <= 0 || !status.searching) return 0;
    const auto next =
        std::chrono::steady_clock::now() + std::chrono::duration<double>(watch_seconds);
    while (std::chrono::steady_clock::now() < next) {
      if (StopRequested()) return 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
}

}  // namespace lathe::cli
