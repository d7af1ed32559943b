// Child processes. A child gets its own process group, dies with its parent (PR_SET_PDEATHSIG) and
// inherits no open file but stderr; its arguments never pass through a shell. Thread-safe.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

struct ProcessOptions {
  std::vector<std::string> argv = {};
  std::filesystem::path log_file = {};        // gets stdout and stderr appended; empty: our stderr
  std::filesystem::path working_folder = {};  // empty: inherited
  std::map<std::string, std::string> env = {};  // added to or overriding the parent's
  std::vector<std::string> unset = {};          // variables of the parent's that it does not get
  std::vector<int> cpus = {};                   // CPU affinity; empty: inherited
  bool die_with_parent = true;
};

struct ProcessExit {
  int code = 0;                  // exit code, or 128 + signal
  int signal = 0;                // 0 unless killed
  std::string Describe() const;  // "exit code 3", "killed by signal 9 (SIGKILL)"
};

// Starts a child with /dev/null as its input. Throws kUnavailable when the program cannot be
// started, kIo for the log file. With die_with_parent, call it from a thread that outlives the
// child: Linux kills the child when that thread ends.
pid_t StartProcess(const ProcessOptions& options);
// Non-blocking wait: nullopt while it runs. Not our child (any more) reads as an exit with
// code -1.
std::optional<ProcessExit> PollProcess(pid_t pid);
// A child that runs beside us and whose stdout and stderr are kept. Destroying it kills it.
class CapturedProcess {
 public:
  // Throws as StartProcess(). `options.log_file` is not used.
  explicit CapturedProcess(ProcessOptions options);
  ~CapturedProcess();
  CapturedProcess(const CapturedProcess&) = delete;
  CapturedProcess& operator=(const CapturedProcess&) = delete;

  struct Result {
    ProcessExit exit;
    std::string output;
  };
  std::optional<Result> Poll();  // nullopt while it runs
  Result Wait();

 private:
  int output_ = -1;  // a file in memory
  pid_t pid_ = 0;
  std::optional<Result> result_;
};

// Signals the whole process group of `pid`; a group already gone is not an error.
void SignalProcessGroup(pid_t pid, int signal);

// Set by the first SIGINT or SIGTERM after InstallStopHandler(); a second one ends the process at
// once, with exit code 130.
bool StopRequested();
void InstallStopHandler();

std::filesystem::path OwnExecutable();  // /proc/self/exe resolved
std::vector<int> AvailableCpus();       // this process's affinity mask
int AvailableThreads();                 // how many those are

}  // namespace lathe
