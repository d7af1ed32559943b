// What Lathe tells Slurm, and what Slurm says: the batch script, the queue, the words of errors. No
// process is started here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::executor {

// What a batch script starts: one trial, or as elements of a job array, several.
struct JobScript {
  std::map<int, std::filesystem::path> folders;  // by array index; a single job has index 0
  std::vector<std::string> command;              // the trial's folder is appended
  int processes = 1;                             // started by srun if more than one
  int threads = 1;                               // of each
  std::vector<std::string> setup = {};           // shell lines that run first
};

// Its trial's output goes to the end of log.txt in the trial's folder. It leaves "job-exit" there
// (ReadJobExit()). On SIGUSR1, which Slurm sends before the time limit, the trial gets SIGTERM, and
// one that has saved (exit code 75) is put back into the queue as the same job.
std::string ToText(const JobScript& script);

// "12 0 75": job, how often Slurm has started it again, exit code of the trial.
struct JobExit {
  int64_t job = 0;
  int restarts = 0;
  int code = 0;
};
inline constexpr char kJobExitFile[] = "job-exit";
inline constexpr int kNoFolder = 66;  // EX_NOINPUT: the node does not see the trial's folder
// nullopt while there is none, or none that can be read.
std::optional<JobExit> ReadJobExit(const std::filesystem::path& folder);

// A line of squeue with kQueueFormat.
struct QueueRow {
  int64_t job = 0;
  std::optional<int> index;  // within an array
  std::string state;         // "PENDING", "NODE_FAIL"
  std::string reason;        // "Priority"; empty: none
  std::string nodes;
  std::string name;
};
inline constexpr char kQueueFormat[] = "%F|%K|%T|%r|%N|%j";  // the name last: it may hold bars
// Lines of another form (warnings) are passed over.
std::vector<QueueRow> ParseQueue(std::string_view text);

// What sacct, with kAccountFormat, knows of jobs; by "12", or "12_3" within an array.
struct AccountRow {
  std::string state;
  std::string nodes;
};
inline constexpr char kAccountFormat[] = "JobID,State,NodeList";
std::map<std::string, AccountRow> ParseAccounts(std::string_view text);

// Whether a job in this state has ended for good.
bool HasEnded(std::string_view state);

// The job that `sbatch --parsable` has submitted, if it says so.
std::optional<int64_t> ParseSubmitted(std::string_view output);

enum class Refusal {
  kLater,     // Slurm cannot be reached, or takes no jobs at the moment
  kTooMany,   // a limit on the number of jobs
  kNoArrays,  // it takes no job arrays, or none so large
  kForGood,   // it would refuse the same again
};
Refusal WhyRefused(std::string_view output);

// Without "sbatch: error: " and line breaks, for the end of a sentence.
std::string MessageOf(std::string_view output);

// `text` with whatever could mislead a program that reads names replaced by '_'.
std::string PlainName(std::string_view text);

}  // namespace lathe::executor
