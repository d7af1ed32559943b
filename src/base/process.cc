#include "base/process.h"

#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/file.h"

extern char** environ;

namespace lathe {
namespace {

// A CPU set as large as this machine needs (cpu_set_t ends at 1024 CPUs).
struct CpuSet {
  struct Free {
    void operator()(cpu_set_t* memory) const { CPU_FREE(memory); }
  };
  explicit CpuSet(int cpus) : bytes(CPU_ALLOC_SIZE(cpus)), set(CPU_ALLOC(cpus)) {
    CPU_ZERO_S(bytes, set.get());
  }
  size_t bytes;
  std::unique_ptr<cpu_set_t, Free> set;
};

// What the child does between fork and exec, and reports when it fails.
enum class Step : int { kSetUp, kFolder, kCpus, kExec };

struct Failure {
  Step step;
  int error;
};

// Everything the child needs, prepared before the fork: another thread may hold the allocator's
// lock at that moment, so the child must not allocate.
struct Plan {
  std::vector<char*> argv;
  std::vector<char*> env;
  std::string folder;
  std::unique_ptr<CpuSet> cpus;
  int input = -1;
  int output = -1;
  int report = -1;
  pid_t parent = 0;
  bool die_with_parent = true;
};

[[noreturn]] void FailChild(const Plan& plan, Step step) {
  const Failure failure{step, errno};
  const ssize_t ignored = write(plan.report, &failure, sizeof failure);
  _exit(ignored > 0 ? 127 : 126);
}

// Runs in the child, with all signals blocked: async-signal-safe calls only.
[[noreturn]] void RunChild(const Plan& plan) {
  if (setpgid(0, 0) != 0) FailChild(plan, Step::kSetUp);
  if (plan.die_with_parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) FailChild(plan, Step::kSetUp);
    if (getppid() != plan.parent) _exit(127);  // it died before the line above
  }
  // Handlers of the parent end with exec, but ignored signals would stay ignored.
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
  if (dup2(plan.input, STDIN_FILENO) < 0 || dup2(plan.output, STDOUT_FILENO) < 0 ||
      dup2(plan.output, STDERR_FILENO) < 0) {
    FailChild(plan, Step::kSetUp);
  }
  // Descriptors that a library opened without O_CLOEXEC are not for the child. Kernels before 5.11
  // lack the call; then they leak, which does no harm.
  syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  if (!plan.folder.empty() && chdir(plan.folder.c_str()) != 0) FailChild(plan, Step::kFolder);
  if (plan.cpus && sched_setaffinity(0, plan.cpus->bytes, plan.cpus->set.get()) != 0) {
    FailChild(plan, Step::kCpus);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(plan.argv[0], plan.argv.data(), plan.env.data());
  FailChild(plan, Step::kExec);
}

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> MergedEnvironment(const std::map<std::string, std::string>& extra,
                                           const std::vector<std::string>& unset) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string name(text.substr(0, text.find('=')));
    if (!extra.contains(name) && std::ranges::find(unset, name) == unset.end()) {
      merged.emplace_back(text);
    }
  }
  for (const auto& [name, value] : extra) merged.push_back(name + "=" + value);
  return merged;
}

std::unique_ptr<CpuSet> MakeCpuSet(const std::vector<int>& cpus) {
  if (cpus.empty()) return nullptr;
  auto set = std::make_unique<CpuSet>(*std::max_element(cpus.begin(), cpus.end()) + 1);
  for (int cpu : cpus) CPU_SET_S(cpu, set->bytes, set->set.get());
  return set;
}

[[noreturn]] void ThrowStartError(const ProcessOptions& options, const Failure& failure) {
  const std::string reason = Reason(failure.error);
  switch (failure.step) {
    case Step::kFolder:
      throw Error(ErrorKind::kUnavailable, "cannot start '{}' in folder {}: {}", options.argv[0],
                  options.working_folder.string(), reason);
    case Step::kCpus:
      throw Error(ErrorKind::kUnavailable, "cannot start '{}' on CPUs {}: {}; available: {}",
                  options.argv[0], fmt::join(options.cpus, ","), reason,
                  fmt::join(AvailableCpus(), ","));
    case Step::kExec:
      if (failure.error == ENOENT) {
        throw Error(ErrorKind::kUnavailable, "cannot start '{}': {}; is it installed and on PATH?",
                    options.argv[0], reason);
      }
      [[fallthrough]];
    case Step::kSetUp:
      break;
  }
  throw Error(ErrorKind::kUnavailable, "cannot start '{}': {}", options.argv[0], reason);
}

// Blocks every signal while it lives: between fork and exec, no handler may run in the child.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "used in a signal handler");

void HandleStop(int) {
  constexpr int kInterruptedExit = 130;
  if (stop_requested.exchange(true)) _exit(kInterruptedExit);
}

}  // namespace

std::string ProcessExit::Describe() const {
  if (code < 0) return "exit code unknown (not a child of this process)";
  if (signal == 0) return fmt::format("exit code {}", code);
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? fmt::format("killed by signal {}", signal)
                         : fmt::format("killed by signal {} (SIG{})", signal, name);
}

pid_t StartProcess(const ProcessOptions& options) {
  if (options.argv.empty()) throw Error(ErrorKind::kInternal, "StartProcess: empty command");
  std::vector<std::string> argv = options.argv;
  std::vector<std::string> env = MergedEnvironment(options.env, options.unset);
  Plan plan;
  plan.argv = Pointers(&argv);
  plan.env = Pointers(&env);
  plan.folder = options.working_folder.string();
  plan.cpus = MakeCpuSet(options.cpus);
  plan.parent = getpid();
  plan.die_with_parent = options.die_with_parent;

  const Descriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Descriptor log;
  if (!options.log_file.empty()) {
    log = OpenToWrite(options.log_file, O_CREAT | O_APPEND);
    if (!log.ok()) {
      throw Error(ErrorKind::kIo, "cannot write {}: {}", options.log_file.string(), Reason(errno));
    }
  }
  plan.input = input.get();
  plan.output = log.ok() ? log.get() : STDERR_FILENO;

  // Closes on a successful exec; carries a Failure otherwise.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) ThrowStartError(options, {Step::kSetUp, errno});
  const Descriptor failures(ends[0]);
  Descriptor report(ends[1]);
  plan.report = report.get();

  pid_t pid = 0;
  int fork_error = 0;
  {
    const SignalsBlocked blocked;
    pid = fork();
    fork_error = errno;
    if (pid == 0) RunChild(plan);
  }
  if (pid < 0) ThrowStartError(options, {Step::kSetUp, fork_error});
  setpgid(pid, pid);  // also here, so that the group exists when this function returns
  report.Close();

  Failure failure{};
  ssize_t got = 0;
  while ((got = read(failures.get(), &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  if (got != static_cast<ssize_t>(sizeof failure)) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  ThrowStartError(options, failure);
}

std::optional<ProcessExit> PollProcess(pid_t pid) {
  int status = 0;
  pid_t result = 0;
  while ((result = waitpid(pid, &status, WNOHANG)) < 0 && errno == EINTR) {
  }
  if (result == 0) return std::nullopt;
  if (result < 0) return ProcessExit{.code = -1};
  if (WIFSIGNALED(status)) {
    return ProcessExit{.code = 128 + WTERMSIG(status), .signal = WTERMSIG(status)};
  }
  return ProcessExit{.code = WEXITSTATUS(status)};
}

CapturedProcess::CapturedProcess(ProcessOptions options) {
  Descriptor output(memfd_create("output", MFD_CLOEXEC));
  if (!output.ok()) throw Error(ErrorKind::kIo, "memfd_create: {}", Reason(errno));
  options.log_file = fmt::format("/proc/self/fd/{}", output.get());
  pid_ = StartProcess(options);
  output_ = output.Release();
}

CapturedProcess::~CapturedProcess() {
  if (!result_) {
    SignalProcessGroup(pid_, SIGKILL);
    Wait();
  }
  close(output_);
}

std::optional<CapturedProcess::Result> CapturedProcess::Poll() {
  if (result_) return result_;
  const std::optional<ProcessExit> exit = PollProcess(pid_);
  if (!exit) return std::nullopt;
  result_ = {.exit = *exit, .output = ReadFile(fmt::format("/proc/self/fd/{}", output_))};
  return result_;
}

CapturedProcess::Result CapturedProcess::Wait() {
  constexpr auto kPause = std::chrono::milliseconds(5);
  while (!Poll()) std::this_thread::sleep_for(kPause);
  return *result_;
}

void SignalProcessGroup(pid_t pid, int signal) {
  // kill(-1) would reach every process of the user, kill(0) our own group.
  if (pid <= 1) throw Error(ErrorKind::kInternal, "SignalProcessGroup: bad process id {}", pid);
  if (kill(-pid, signal) != 0 && errno != ESRCH) {
    throw Error(ErrorKind::kInternal, "cannot send signal {} to process group {}: {}", signal, pid,
                Reason(errno));
  }
}

bool StopRequested() { return stop_requested.load(std::memory_order_relaxed); }

void InstallStopHandler() {
  struct sigaction action {};
  action.sa_handler = HandleStop;
  action.sa_flags = SA_RESTART;  // libraries that ignore EINTR must keep working
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

std::filesystem::path OwnExecutable() { return std::filesystem::read_symlink("/proc/self/exe"); }

int AvailableThreads() { return static_cast<int>(AvailableCpus().size()); }

std::vector<int> AvailableCpus() {
  constexpr int kMostCpus = 1 << 16;
  for (int count = CPU_SETSIZE; count <= kMostCpus; count *= 2) {
    const CpuSet set(count);
    if (sched_getaffinity(0, set.bytes, set.set.get()) != 0) {
      if (errno == EINVAL) continue;  // the kernel's mask is longer
      break;
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < count; ++cpu) {
      if (CPU_ISSET_S(cpu, set.bytes, set.set.get())) cpus.push_back(cpu);
    }
    return cpus;
  }
  throw Error(ErrorKind::kInternal, "sched_getaffinity: {}", Reason(errno));
}

}  // namespace lathe
