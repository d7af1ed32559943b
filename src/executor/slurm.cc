#include "executor/slurm.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "executor/heartbeat.h"
#include "executor/slurm_command.h"
#include "executor/slurm_end.h"
#include "executor/slurm_text.h"

namespace lathe::executor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kDefaultJobs = 100;
constexpr int kLargestArray = 100;
constexpr std::chrono::seconds kRetryAfter{5};    // Slurm could not be reached
constexpr std::chrono::seconds kLimitFor{60};     // then more jobs may be welcome again
constexpr std::chrono::seconds kLateAfter{30};    // a file may take so long to show up from a node
constexpr std::chrono::minutes kRemindAfter{10};  // while Slurm does not answer

std::map<int64_t, QueueRow> Live(std::map<int64_t, QueueRow> rows) {
  std::erase_if(rows, [](const auto& entry) { return HasEnded(entry.second.state); });
  return rows;
}

struct SlurmJob {
  fs::path folder;
  std::optional<int64_t> id;  // once Slurm has it; of the array, if it is an element
  std::optional<int> index;
  QueueRow row;                            // as last seen
  std::optional<Heartbeat> heartbeat;      // while it runs
  std::optional<Clock::time_point> ended;  // seen to have ended, but its files are not there yet
  bool asked = false, answered = false;    // the accounting database, about its end
  bool cancel = false;                     // wanted, by us
  bool cancel_sent = false;
  bool hangs = false;

  std::string Name() const {
    return id ? "Slurm job " + IdText(*id, index) : "Slurm job not submitted yet";
  }
  // What its script has left behind, if that is of this job.
  std::optional<JobExit> Exit() const {
    std::optional<JobExit> exit = ReadJobExit(folder);
    if (exit && exit->job != *id) exit.reset();
    return exit;
  }
};

class SlurmExecutor : public study::Executor {
 public:
  explicit SlurmExecutor(const SlurmOptions& options)
      : options_(options),
        prefix_(
            fmt::format("lathe-{}-{:08x}-", PlainName(options.study),
                        HashBytes(fs::absolute(options.trials_folder).string()) & 0xffffffffU)) {
    const CapturedProcess::Result queue = StartSqueue()->Wait();
    if (queue.exit.code != 0) {
      throw Error(ErrorKind::kUnavailable, "cannot read Slurm's queue: {}",
                  MessageOf(queue.output));
    }
    found_ = Live(OwnRows(queue.output));
  }

  int FreeSlots() override {
    int most = options_.jobs > 0 ? options_.jobs : kDefaultJobs;
    if (Clock::now() < limited_until_) most = std::min(most, most_allowed_);
    return most - static_cast<int>(jobs_.size());
  }

  void Submit(int64_t trial, const fs::path& folder) override {
    if (jobs_.contains(trial)) {
      throw Error(ErrorKind::kInternal, "trial {} submitted while it runs", trial);
    }
    jobs_[trial].folder = fs::absolute(folder);
    to_submit_.push_back(trial);
  }

  std::vector<study::JobEnd> Poll() override {
    PollSubmission();
    PollQueue();
    PollCancellation();
    PollAccounts();
    std::vector<study::JobEnd> ends = std::exchange(ends_, {});
    for (auto& [trial, job] : jobs_) {
      if (!job.ended) continue;
      const EndedJob ended = AsEnded(job);
      if (!CanBeJudged(job, ended)) continue;
      ends.push_back(EndOf(trial, ended, options_.hang_seconds, options_.queue.save_seconds));
    }
    for (const study::JobEnd& end : ends) jobs_.erase(end.trial);
    return ends;
  }

  void Cancel(int64_t trial) override {
    const auto found = jobs_.find(trial);
    if (found == jobs_.end() || found->second.cancel) return;
    found->second.cancel = true;
    const auto waiting = std::ranges::find(to_submit_, trial);
    if (waiting == to_submit_.end()) return;
    to_submit_.erase(waiting);
    ends_.push_back({.trial = trial, .continue_me = true});
  }

  bool Adopt(int64_t trial, const fs::path& folder) override {
    const auto row = found_.find(trial);
    if (row == found_.end()) return false;
    SlurmJob& job = jobs_[trial];
    job.folder = fs::absolute(folder);
    Take(job, row->second);
    found_.erase(row);
    spdlog::info("trial {} is {} already ({})", trial, job.Name(), job.row.state);
    return true;
  }

  std::vector<study::JobState> Jobs() const override {
    std::vector<study::JobState> states;
    for (const auto& [trial, job] : jobs_) {
      const bool running = job.row.state == "RUNNING" || job.row.state == "COMPLETING";
      std::string reason = job.row.reason;
      if (!job.id) reason = refused_.empty() ? "is being submitted" : "Slurm: " + refused_;
      if (!running && job.id && !job.row.state.empty() && job.row.state != "PENDING")
        reason = job.row.state + (reason.empty() ? "" : ": " + reason);
      states.push_back({.trial = trial,
                        .running = running,
                        .job = job.Name(),
                        .where = job.row.nodes,
                        .reason = running ? "" : reason});
    }
    return states;
  }

 private:
  // --- Submission ---

  struct Submission {
    SlurmCommand process;
    int64_t base = 0;  // trial of array index 0
    std::vector<int64_t> trials;
  };

  void PollSubmission() {
    if (submission_) {
      const std::optional<CapturedProcess::Result> result = submission_->process->Poll();
      if (!result) return;
      const Submission& done = *submission_;
      const std::optional<int64_t> id = ParseSubmitted(result->output);
      if (result->exit.code == 0 && id) {
        for (const int64_t trial : done.trials) {
          SlurmJob& job = jobs_.at(trial);
          job.id = *id;
          if (done.trials.size() > 1) job.index = static_cast<int>(trial - done.base);
          job.row.state = "PENDING";
          submitted_.insert(trial);
        }
        refused_.clear();
      } else {
        to_submit_.insert(to_submit_.begin(), done.trials.begin(), done.trials.end());
        HandleRefusal(result->output, done.trials.size());
      }
      submission_.reset();
    }
    if (to_submit_.empty() || Clock::now() < submit_again_ || look_first_) return;
    StartSubmission();
  }

  void HandleRefusal(const std::string& output, size_t trials) {
    refused_ = MessageOf(output);
    submit_again_ = Clock::now() + kRetryAfter;
    const bool others = jobs_.size() > to_submit_.size();
    switch (WhyRefused(output)) {
      case Refusal::kLater:
        look_first_ = true;  // the job may be there although nobody told us
        Warn(fmt::format("Slurm takes no jobs at the moment ({}); trying again", refused_));
        return;
      case Refusal::kTooMany:
        if (trials > 1) {  // fewer may be welcome
          array_limit_ = static_cast<int>(trials / 2);
          return;
        }
        if (!others) break;  // not even one
        most_allowed_ = static_cast<int>(jobs_.size() - to_submit_.size());
        limited_until_ = Clock::now() + kLimitFor;
        submit_again_ = limited_until_;
        Warn(fmt::format("Slurm takes no more than {} jobs ({})", most_allowed_, refused_));
        return;
      case Refusal::kNoArrays:
        if (trials == 1) break;
        array_limit_ = static_cast<int>(trials / 2);
        submit_again_ = Clock::now();
        return;
      case Refusal::kForGood:
        break;
    }
    throw Error(ErrorKind::kInput,
                "Slurm refuses the job of trial {}: {}. Correct [slurm] or [executor] in the study "
                "file and continue with --resume",
                to_submit_.front(), refused_);
  }

  void StartSubmission() {
    std::vector<int64_t> trials;
    const int64_t base = *std::ranges::min_element(to_submit_);
    const auto limit = static_cast<size_t>(std::max(1, array_limit_));
    while (!to_submit_.empty() && trials.size() < limit &&
           (trials.empty() || to_submit_.front() - base < kLargestArray)) {
      trials.push_back(to_submit_.front());
      to_submit_.pop_front();
    }
    const bool array = trials.size() > 1;
    const int64_t first = array ? base : trials.front();
    JobScript script{.folders = {},
                     .command = options_.command,
                     .processes = options_.processes_per_trial,
                     .threads = options_.threads_per_process,
                     .setup = options_.queue.setup};
    for (const int64_t trial : trials) {
      script.folders[static_cast<int>(trial - first)] = jobs_.at(trial).folder;
    }
    const fs::path file = jobs_.at(trials.front()).folder / "job.sh";
    WriteFileAtomically(file, ToText(script));
    submission_ = {
        .process = StartSbatch(options_, script, fmt::format("{}{}", prefix_, first), file),
        .base = first,
        .trials = std::move(trials)};
  }

  // --- The queue ---

  // The rows of this study's jobs, by trial.
  std::map<int64_t, QueueRow> OwnRows(const std::string& output) const {
    std::map<int64_t, QueueRow> own;
    for (QueueRow& row : ParseQueue(output)) {
      if (!row.name.starts_with(prefix_)) continue;
      try {
        const int64_t trial = std::stoll(row.name.substr(prefix_.size())) + row.index.value_or(0);
        QueueRow& known = own[trial];
        // An older job of the same trial may still be listed as ended.
        if (known.job == 0 || row.job > known.job) known = std::move(row);
      } catch (const std::logic_error&) {
        continue;  // somebody else's name
      }
    }
    return own;
  }

  void PollQueue() {
    if (!squeue_) {
      const bool due = SecondsSince(looked_) >= options_.queue.poll_seconds ||
                       (look_first_ && SecondsSince(looked_) >= 1);
      if (!due || (jobs_.empty() && found_.empty())) return;
      looked_ = Clock::now();
      submitted_.clear();  // those submitted from here on may be missing from what it says
      squeue_ = StartSqueue();
    }
    const std::optional<CapturedProcess::Result> result = squeue_->Poll();
    if (!result) return;
    squeue_.reset();
    if (result->exit.code != 0) {
      silent_ = true;
      Warn(fmt::format("Slurm does not answer ({}); jobs go on without it, waiting",
                       MessageOf(result->output)));
      return;
    }
    if (std::exchange(silent_, false)) spdlog::info("Slurm answers again");
    look_first_ = false;
    std::map<int64_t, QueueRow> rows = OwnRows(result->output);
    for (auto& [trial, job] : jobs_) {
      const auto row = rows.find(trial);
      if (row != rows.end() && (!job.id || *job.id <= row->second.job)) {
        if (!job.id) TakeUnexpected(trial, job, row->second);
        if (job.id) Take(job, row->second);
      } else if (job.id && !job.ended && !submitted_.contains(trial)) {
        job.row.state = "";  // it ended long enough ago to be forgotten
        job.ended = Clock::now();
      }
      if (row != rows.end()) rows.erase(row);
    }
    // What nobody waits for any more: a controller died between ending a trial and saying so.
    found_ = Live(std::move(rows));
    CheckHearts();
  }

  // Slurm has taken a job although sbatch said it could not reach it.
  void TakeUnexpected(int64_t trial, SlurmJob& job, const QueueRow& row) {
    const auto waiting = std::ranges::find(to_submit_, trial);
    if (waiting == to_submit_.end() || HasEnded(row.state)) return;
    to_submit_.erase(waiting);
    job.id = row.job;
    job.index = row.index;
  }

  void Take(SlurmJob& job, const QueueRow& row) {
    if (row.reason != job.row.reason && IsBad(row)) {
      spdlog::warn("{} of {} waits: {}", job.Name(), job.folder.string(), row.reason);
    }
    job.id = row.job;
    job.index = row.index;
    job.row = row;
    if (HasEnded(row.state) && !job.ended) job.ended = Clock::now();
    if (row.state != "RUNNING") {
      job.heartbeat.reset();
    } else if (!job.heartbeat) {
      job.heartbeat.emplace(job.folder);
    }
  }

  // Reasons that do not go away by waiting.
  static bool IsBad(const QueueRow& row) {
    static const std::set<std::string> kBad = {"BadConstraints",
                                               "DependencyNeverSatisfied",
                                               "JobHeldAdmin",
                                               "JobHeldUser",
                                               "PartitionConfig",
                                               "PartitionDown",
                                               "PartitionInactive",
                                               "PartitionNodeLimit",
                                               "PartitionTimeLimit",
                                               "launch failed requeued held",
                                               "job requeued in held state"};
    return row.state == "PENDING" && kBad.contains(row.reason);
  }

  void CheckHearts() {
    if (options_.hang_seconds <= 0) return;
    for (auto& [trial, job] : jobs_) {
      if (!job.heartbeat || job.hangs ||
          job.heartbeat->SilentSeconds() <= options_.hang_seconds + options_.queue.poll_seconds) {
        continue;
      }
      job.hangs = true;
      job.cancel = true;
    }
  }

  // --- Cancellation ---

  void PollCancellation() {
    if (scancel_) {
      if (!scancel_->Poll()) return;
      scancel_.reset();
    }
    // Again and again until the queue says that they have ended: Slurm may not have been there.
    const bool again = SecondsSince(cancelled_) >= options_.queue.poll_seconds;
    std::vector<std::string> unwanted;
    for (auto& [trial, job] : jobs_) {
      if (!job.cancel || !job.id || job.ended || (job.cancel_sent && !again)) continue;
      unwanted.push_back(IdText(*job.id, job.index));
      job.cancel_sent = true;
    }
    for (const auto& [trial, row] : found_) {
      unwanted.push_back(IdText(row.job, row.index));
      spdlog::info("cancelling Slurm job {}: trial {} has ended", unwanted.back(), trial);
    }
    found_.clear();
    if (unwanted.empty()) return;
    cancelled_ = Clock::now();
    scancel_ = StartScancel(unwanted);
  }

  // --- Ends ---

  // What the queue has forgotten, the accounting database may know, where there is one.
  void PollAccounts() {
    if (!sacct_) {
      std::vector<std::string> forgotten;
      for (auto& [trial, job] : jobs_) {
        if (!job.ended || !job.row.state.empty() || job.asked) continue;
        job.asked = true;
        forgotten.push_back(IdText(*job.id, job.index));
      }
      if (forgotten.empty()) return;
      sacct_ = StartSacct(forgotten);
    }
    const std::optional<CapturedProcess::Result> result = sacct_->Poll();
    if (!result) return;
    sacct_.reset();
    if (result->exit.code != 0) spdlog::debug("no accounts: {}", MessageOf(result->output));
    const std::map<std::string, AccountRow> rows = ParseAccounts(result->output);
    for (auto& [trial, job] : jobs_) {
      if (!job.asked || !job.row.state.empty()) continue;
      job.answered = true;
      const auto row = rows.find(IdText(*job.id, job.index));
      if (row == rows.end() || !HasEnded(row->second.state)) continue;
      job.row.state = row->second.state;
      job.row.nodes = row->second.nodes;
    }
  }

  static bool CanBeJudged(const SlurmJob& job, const EndedJob& ended) {
    if (Clock::now() - *job.ended >= kLateAfter) return true;
    const bool told = !job.row.state.empty() || job.answered;
    return told && LeftEnough(ended);
  }

  static EndedJob AsEnded(const SlurmJob& job) {
    return {.name = job.Name(),
            .folder = job.folder,
            .state = job.row.state,
            .reason = job.row.reason,
            .nodes = job.row.nodes,
            .exit = job.Exit(),
            .cancelled = job.cancel,
            .hangs = job.hangs};
  }

  // At once, and then now and then.
  void Warn(const std::string& message) {
    if (message == warned_ && Clock::now() - warned_at_ < kRemindAfter) return;
    warned_ = message;
    warned_at_ = Clock::now();
    spdlog::warn("{}", message);
  }

  const SlurmOptions options_;
  const std::string prefix_;  // of the names of this study's jobs; the trial's number follows
  std::map<int64_t, SlurmJob> jobs_;
  std::map<int64_t, QueueRow> found_;  // in the queue, and nobody's yet
  std::vector<study::JobEnd> ends_;    // of jobs that were never submitted

  std::deque<int64_t> to_submit_;
  std::optional<Submission> submission_;
  std::set<int64_t> submitted_;  // since the running or last squeue was started
  std::string refused_;
  Clock::time_point submit_again_ = Clock::now();
  bool look_first_ = false;  // into the queue, before anything is submitted
  int array_limit_ = kLargestArray;
  int most_allowed_ = 0;  // jobs in the queue, as Slurm said
  Clock::time_point limited_until_ = Clock::now();

  SlurmCommand squeue_;
  Clock::time_point looked_;
  bool silent_ = false;  // Slurm did not answer last time
  SlurmCommand scancel_;
  Clock::time_point cancelled_;
  SlurmCommand sacct_;

  std::string warned_;
  Clock::time_point warned_at_;
};

}  // namespace

std::unique_ptr<study::Executor> MakeSlurmExecutor(const SlurmOptions& options) {
  if (options.command.empty())
    throw Error(ErrorKind::kInternal, "the Slurm executor needs a command");
  return std::make_unique<SlurmExecutor>(options);
}

}  // namespace lathe::executor
