#include "cli/live_study.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/search_job.h"
#include "cli/study_orders.h"
#include "cli/study_report.h"
#include "study/batch.h"
#include "study/config.h"
#include "study/controller.h"
#include "study/jobs.h"

namespace lathe::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kListed = 100;  // running trials that are told one by one
constexpr size_t kWaiting = 5;
// Reading again rests this many times as long as it took.
constexpr int kRestFactor = 200;

// Differs after a file was written.
std::string Stamp(const fs::path& file) {
  std::error_code error;
  const auto time = fs::last_write_time(file, error);
  if (error) return "-";
  return fmt::format("{}/{}", time.time_since_epoch().count(), fs::file_size(file, error));
}

double AgeOf(const fs::path& file) {
  std::error_code error;
  const auto time = fs::last_write_time(file, error);
  if (error) return 0;
  return std::max(0.0,
                  std::chrono::duration<double>(fs::file_time_type::clock::now() - time).count());
}

// A training as live.js shows it. `folder` is relative to the study's.
Json JobOf(const fs::path& study, const std::string& folder, const std::string& name) {
  const study::TrialProgress progress = study::ReadProgress(study / folder);
  std::error_code error;
  return {{"name", name},
          {"folder", folder},
          {"log", fs::exists(study / folder / "log.txt", error)},
          {"step", progress.step},
          {"steps", progress.steps},
          {"seconds_left", progress.seconds_left},
          {"silent", AgeOf(study / folder / "progress.json")},
          {"age", AgeOf(study / folder / "trial.json")},
          {"latency_us", 0.0},
          {"note", ""}};
}

std::string TrialFolder(int64_t number) { return "trials/" + study::TrialFolderName(number); }

// `submitted`: nullptr if the executor says nothing of it.
Json JobOf(const fs::path& study, const study::OpenTrial& trial, const study::JobState* submitted) {
  Json job = JobOf(study, TrialFolder(trial.number), fmt::format("trial {}", trial.number));
  job["age"] = std::max(0.0, UnixSeconds() - trial.begin);
  job["latency_us"] = trial.latency_us;
  job["trial"] = trial.number;
  std::string note;
  if (submitted != nullptr) note = submitted->job + ", " + submitted->where;
  if (trial.starts > 1)
    note += fmt::format("{}start {}: {}", note.empty() ? "" : "; ", trial.starts, trial.reason);
  job["note"] = note;
  return job;
}

std::map<int64_t, study::JobState> SubmittedIn(const fs::path& study) {
  std::map<int64_t, study::JobState> submitted;
  for (study::JobState& job : study::ReadJobs(study / study::kJobsFile))
    submitted[job.trial] = std::move(job);
  return submitted;
}

std::string WhyItWaits(const study::OpenTrial& trial, const study::JobState* submitted) {
  if (submitted != nullptr)
    return fmt::format("Trial {} waits, {}: {}", trial.number, submitted->job, submitted->reason);
  return fmt::format("Trial {} waits for a free slot{}{}", trial.number,
                     trial.reason.empty() ? "" : "; before: ", trial.reason);
}

// Finalists and baselines that have begun and not ended.
std::vector<Json> TrainingsOf(const fs::path& study) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(study / "training", error)) {
    if (fs::exists(entry.path() / "progress.json", error) && !study::HasResult(entry.path())) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::ranges::sort(names);
  std::vector<Json> jobs;
  for (const std::string& name : names) jobs.push_back(JobOf(study, "training/" + name, name));
  return jobs;
}

Json BestOf(const fs::path& folder, const study::Overview& overview) {
  Json best = Json::array();
  for (const study::GoodTrial& trial : overview.best) {
    Json files = Json::array();
    for (const char* name : {"network.json", "checkpoint"}) {
      const std::string file = TrialFolder(trial.number) + "/" + name;
      std::error_code error;
      if (!trial.imported && fs::exists(folder / file, error)) files.push_back(file);
    }
    best.push_back({{"trial", trial.number},
                    {"value", trial.value},
                    {"accuracy", trial.accuracy},
                    {"latency_us", trial.latency_us},
                    {"files", files}});
  }
  return best;
}

}  // namespace

bool LiveStudy::Exists() const { return fs::exists(folder_ / "study.db"); }

std::string LiveStudy::Title() const {
  return name_.empty() ? fs::absolute(folder_).lexically_normal().filename().string() : name_;
}

std::optional<std::string> LiveStudy::Refresh() {
  if (!fs::is_directory(folder_))
    return fmt::format("{}: there is no such folder", folder_.string());
  if (!Exists() || !fs::exists(folder_ / "study.toml")) {
    return fmt::format(
        "{}: there is no study here yet. If a search is just starting, this page shows it in a "
        "moment; otherwise check the folder",
        folder_.string());
  }
  try {
    const std::string key = Stamp(folder_ / "study.db") + Stamp(folder_ / "study.toml");
    const Clock::time_point now = Clock::now();
    if (key == read_key_ || now - read_at_ < kRestFactor * cost_) return std::nullopt;
    const study::StudyConfig config = study::LoadStudy(folder_ / "study.toml");
    overview_ = study::ReadOverview(folder_ / "study.db");
    name_ = config.name;
    trials_ = config.trials;
    budget_us_ = config.target.latency_us;
    // What is written in the same tick of the clock as the last change would not be noticed.
    constexpr double kTick = 0.5;
    read_key_ = AgeOf(folder_ / "study.db") < kTick ? "" : key;
    read_at_ = Clock::now();
    cost_ = read_at_ - now;
    return std::nullopt;
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string LiveStudy::Summary() const {
  const int64_t done = overview_.Done();
  const std::string counts = fmt::format("{} of {} trials done", done, trials_);
  const bool finished = fs::exists(folder_ / "finalists.json");
  if (!IsSearching(folder_)) {
    if (finished) return fmt::format("Finished: {}.", counts);
    return fmt::format("Not running: {}. Continue it with `lathe search --resume`.", counts);
  }
  if (overview_.states.empty()) return "Measuring the device and sorting the space; no trial yet.";
  const auto running = std::ranges::count_if(overview_.open, &study::OpenTrial::running);
  if (running == 0 && done >= trials_)
    return finished ? fmt::format("Finishing: {}.", counts)
                    : fmt::format("Training, exporting and measuring finalists and baselines: {}.",
                                  counts);
  const double left = overview_.foreseen_end.value_or(0) - UnixSeconds();
  return fmt::format(
      "Searching: {}, {} running{}.", counts, running,
      left > 0 ? fmt::format(", about {} left for the trials", FormatSeconds(left)) : "");
}

report::Glance LiveStudy::Look() {
  const std::optional<std::string> problem = Refresh();
  return {.title = Title(),
          .state = problem ? *problem : Summary(),
          .done = overview_.Done(),
          .trials = trials_,
          .best_accuracy = overview_.best.empty() ? 0 : overview_.best.front().accuracy,
          .latency_budget_us = budget_us_,
          .front = overview_.front};
}

std::string LiveStudy::Status() {
  const std::optional<std::string> problem = Refresh();
  const bool alive = IsSearching(folder_);
  Json running = Json::array(), waiting = Json::array(), events = Json::array();
  size_t running_count = 0, waiting_count = 0, left_behind = 0;
  const std::map<int64_t, study::JobState> submitted = SubmittedIn(folder_);
  for (const study::OpenTrial& trial : overview_.open) {
    const auto found = submitted.find(trial.number);
    const study::JobState* job = found == submitted.end() ? nullptr : &found->second;
    if (!alive) {
      ++left_behind;
    } else if (trial.running && (job == nullptr || job->running)) {
      if (++running_count <= kListed) running.push_back(JobOf(folder_, trial, job));
    } else if (++waiting_count <= kWaiting) {
      waiting.push_back(WhyItWaits(trial, job));
    }
  }
  if (waiting_count > kWaiting) {
    waiting.push_back(fmt::format("{} more trials wait", waiting_count - kWaiting));
  }
  if (left_behind > 0) {
    waiting.push_back(fmt::format(
        "{} trials were not done when the search ended; they go on when it is continued",
        left_behind));
  }
  if (alive) {
    for (Json& job : TrainingsOf(folder_)) {
      ++running_count;
      running.push_back(std::move(job));
    }
  }
  for (const auto& [seconds, text] : overview_.events) events.push_back({seconds, text});
  const Json status = {{"summary", problem ? *problem : Summary()},
                       {"running", running},
                       {"running_count", running_count},
                       {"waiting", waiting},
                       {"orders", orders_ && alive},
                       {"best", BestOf(folder_, overview_)},
                       {"events", events}};
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string LiveStudy::PageKey() {
  std::string key;
  for (const char* file : {"study.db", "study.toml", "finalists.json", "lut.json"}) {
    key += Stamp(folder_ / file) + " ";
  }
  return key;
}

std::string LiveStudy::Page() {
  if (const std::optional<std::string> problem = Refresh()) {
    return report::RenderMessage(Title(), *problem);
  }
  try {
    return report::RenderReport(ReadStudyReport(folder_), report::PageKind::kLive);
  } catch (const std::exception& error) {
    return report::RenderMessage(Title(), error.what());
  }
}

std::string LiveStudy::Order(const std::string& json) {
  try {
    const Json order = Json::parse(json);
    const std::string kind = order.at("order");
    if (kind == "stop") return OrderStop(folder_);
    if (kind == "prune") return OrderPrune(folder_, order.at("trial"));
    if (kind == "enqueue") {
      const std::string network = order.at("network");
      // Files of this machine are not for everyone who sees a page.
      std::error_code too_long_a_name;
      if (network.find('/') != std::string::npos || fs::exists(network, too_long_a_name)) {
        throw Error(ErrorKind::kInput, "give a name of `lathe zoo list` or an encoding");
      }
      return OrderEnqueue(folder_, network);
    }
    throw Error(ErrorKind::kInput, "unknown order '{}'; known: stop, prune, enqueue", kind);
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kInput, "this is no order: {}", error.what());
  }
}

}  // namespace lathe::cli
