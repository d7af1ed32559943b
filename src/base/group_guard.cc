#include "base/group_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/file.h"

namespace lathe {
namespace {

// Async-signal-safe calls only: another thread may have held a lock at the fork.
[[noreturn]] void WaitAndKill(int end, pid_t group) {
  // Signals for our group are not for the guard; what its files lock or connect is not its
  // business.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  setpgid(0, 0);
  if (dup2(end, STDIN_FILENO) < 0) _exit(1);
  syscall(SYS_close_range, STDIN_FILENO + 1, ~0U, 0U);
  char none = 0;
  while (read(STDIN_FILENO, &none, 1) < 0 && errno == EINTR) {
  }
  kill(-group, SIGKILL);
  _exit(0);
}

}  // namespace

GroupGuard::GroupGuard(pid_t group) : group_(group) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw Error(ErrorKind::kUnavailable, "cannot watch over a process: {}", Reason(errno));
  guard_ = fork();
  const int error = errno;
  if (guard_ == 0) {
    close(ends[1]);
    WaitAndKill(ends[0], group);
  }
  close(ends[0]);
  alive_ = ends[1];
  if (guard_ > 0) return;
  close(alive_);
  throw Error(ErrorKind::kUnavailable, "cannot watch over a process: {}", Reason(error));
}

GroupGuard::~GroupGuard() {
  kill(-group_, SIGKILL);
  kill(guard_, SIGKILL);
  while (waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
  }
  close(alive_);
}

}  // namespace lathe
