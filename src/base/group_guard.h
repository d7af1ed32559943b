// Sees to it that a child's whole process group ends with this process, however it ends: a process
// of its own waits for that. StartProcess's die_with_parent reaches the child alone, which may have
// started others. Use from one thread.
#pragma once

#include <sys/types.h>

namespace lathe {

class GroupGuard {
 public:
  // `group`: what StartProcess() returned. Throws kUnavailable when no process can be started.
  explicit GroupGuard(pid_t group);
  ~GroupGuard();  // kills what is left of the group (SIGKILL)
  GroupGuard(const GroupGuard&) = delete;
  GroupGuard& operator=(const GroupGuard&) = delete;

 private:
  const pid_t group_;
  pid_t guard_ = -1;
  int alive_ = -1;  // the end of a pipe that closes when this process ends
};

}  // namespace lathe
