// A trial as files in its own folder, and the two interfaces around it: Evaluator (what a trial
// does, in the trial's process) and Executor (where trials run, in the controller's process). A
// trial reads trial.json and network.json and writes metrics.jsonl, checkpoint, result.json and
// log.txt into its folder, nothing else anywhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace lathe::study {

enum class TrialState { kWaiting, kRunning, kComplete, kPruned, kFail };
std::string_view Name(TrialState state);  // "WAITING", "RUNNING", ... as in Optuna
bool IsFinished(TrialState state);        // neither waits nor runs

// trial.json: what to do. Self-contained, so that a shared folder is all a remote worker needs.
struct TrialSpec {
  int64_t number = 0;
  std::string study;
  std::string kind;  // "search", "finalist", "baseline"
  uint64_t seed = 1;
  int processes = 1;        // that train it together
  int threads = 1;          // of each
  std::string config_toml;  // split_seed, split_file; tables [data], [recipe], [evaluator]
};
void WriteSpec(const std::filesystem::path& folder, const TrialSpec& spec);
TrialSpec ReadSpec(const std::filesystem::path& folder);

// result.json. Metrics of the built-in evaluator: loss (cross-entropy), accuracy, seconds,
// images_per_second.
struct TrialResult {
  int64_t number = 0;
  bool ok = false;
  std::string error;  // when !ok: one line for a person
  std::map<std::string, double> metrics;
};
void WriteResult(const std::filesystem::path& folder, const TrialResult& result);
// Whether there is one, whatever it says; false where the folder cannot be read.
bool HasResult(const std::filesystem::path& folder);
// nullopt while there is none. Throws kInput for one that is damaged or belongs to another trial.
std::optional<TrialResult> ReadResult(const std::filesystem::path& folder, int64_t number);

// One line of metrics.jsonl.
struct MetricLine {
  int step = 0;  // epoch
  std::map<std::string, double> values;
};
void AppendMetrics(const std::filesystem::path& folder, const MetricLine& line);
std::vector<MetricLine> ReadMetrics(
    const std::filesystem::path& folder);  // a torn last line is ignored

// What a trial that dies says last, on one line of crash.txt in its folder; its next start begins
// without.
void WriteCrash(const std::filesystem::path& folder, std::string_view reason);
void RemoveCrash(const std::filesystem::path& folder);

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  // Runs the trial in `folder`, continuing from its checkpoint if there is one. `stop` turns true
  // when it should save and return nullopt ("continue me").
  virtual std::optional<TrialResult> Evaluate(const std::filesystem::path& folder,
                                              const TrialSpec& spec,
                                              const std::function<bool()>& stop) = 0;
};

// Exit codes of `lathe trial DIR`.
inline constexpr int kTrialDone =
    0;  // result.json is there (also for a trial that failed by itself)
inline constexpr int kTrialContinueMe = 75;  // EX_TEMPFAIL: saved a checkpoint, start me again
inline constexpr int kTrialIoError = 74;     // EX_IOERR: its folder cannot be written

struct JobEnd {
  int64_t trial = 0;
  bool continue_me = false;  // asked to be started again, or ended by no fault of its own
  bool io_error = false;     // could not write its files: the disk's fault, not the trial's
  bool crashed = false;      // ended without a result and without asking
  std::string reason;        // "killed by signal 9 (SIGKILL)"
};

// A submitted trial that has not ended.
struct JobState {
  int64_t trial = 0;
  bool running = true;      // false: it waits
  std::string job = {};     // "process 4711", "Slurm job 12_3"
  std::string where = {};   // "CPUs 0,1", a node
  std::string reason = {};  // why it waits

  bool operator==(const JobState&) const = default;
};

// Why a trial crashed: in its own words, or else the executor's.
std::string CrashReason(const std::filesystem::path& trial_folder, const JobEnd& end);

// Whether a write in `folder` that failed may have failed for want of room.
bool DiskFull(const std::filesystem::path& folder);

// What to throw when a trial ended with `io_error`: kIo, says whether the disk is full and how to
// go on.
Error DiskError(const std::filesystem::path& trial_folder);

class Executor {
 public:
  virtual ~Executor() = default;
  virtual int FreeSlots() = 0;  // how many Submit()s are welcome now
  virtual void Submit(int64_t trial, const std::filesystem::path& folder) = 0;  // returns at once
  virtual std::vector<JobEnd> Poll() = 0;  // jobs that ended since the last call
  virtual void Cancel(int64_t trial) = 0;  // asks it to save and end; it still shows up in Poll()
  // Takes over a trial that an earlier process submitted, as if it had been submitted here. False:
  // it is not there (any more).
  virtual bool Adopt(int64_t /*trial*/, const std::filesystem::path& /*folder*/) { return false; }
  virtual std::vector<JobState> Jobs() const {
    return {};
  }  // submitted and not yet told of by Poll()
};

}  // namespace lathe::study
