#include "base/group_guard.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "base/temp_folder_testing.h"

namespace lathe {
namespace {

using namespace std::chrono_literals;

// Orphans of the processes below become children of the test, which so sees how they end.
class GroupGuardTest : public ::testing::Test {
 protected:
  GroupGuardTest() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~GroupGuardTest() override {
    while (waitpid(-1, nullptr, 0) > 0) {  // none may be left alive
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
  }

  // A shell that starts a sleeper, and the sleeper's number.
  pid_t StartShell() const {
    return StartProcess({.argv = {"sh", "-c", "sleep 60 & echo $! >$0; wait", file_.string()}});
  }
  pid_t Sleeper() const {
    std::string number;
    for (int i = 0; i < 2000 && !number.ends_with('\n'); ++i) {
      if (fs::exists(file_)) number = ReadFile(file_);
      std::this_thread::sleep_for(5ms);
    }
    return std::stoi(number);
  }
  // Its signal, or 0 if it does not end.
  static int EndOf(pid_t pid, std::chrono::milliseconds limit = 10s) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < deadline) {
      if (const auto exit = PollProcess(pid); exit && exit->code >= 0) return exit->signal;
      std::this_thread::sleep_for(2ms);
    }
    return 0;
  }

  // Of this process, zombies among them.
  static std::set<pid_t> Children() {
    std::set<pid_t> children;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream file(entry.path() / "stat");
      std::string stat, state;
      pid_t parent = 0;
      if (!std::getline(file, stat)) continue;
      std::istringstream(stat.substr(stat.rfind(')') + 1)) >> state >> parent;
      if (parent == getpid()) children.insert(std::stoi(entry.path().filename().string()));
    }
    return children;
  }

  TempFolder folder_;
  const fs::path file_ = folder_ / "sleeper";
};

TEST_F(GroupGuardTest, GrandchildrenDieWithAKilledProcess) {
  int shell_pipe[2];
  ASSERT_EQ(pipe(shell_pipe), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const pid_t shell = StartShell();
    const GroupGuard guard(shell);
    if (write(shell_pipe[1], &shell, sizeof shell) != sizeof shell) _exit(1);
    pause();
    _exit(0);
  }
  pid_t shell = 0;
  ASSERT_EQ(read(shell_pipe[0], &shell, sizeof shell), static_cast<ssize_t>(sizeof shell));
  const pid_t sleeper = Sleeper();
  EXPECT_EQ(kill(sleeper, 0), 0);
  kill(parent, SIGKILL);
  EXPECT_EQ(EndOf(parent), SIGKILL);
  EXPECT_EQ(EndOf(shell), SIGKILL);
  EXPECT_EQ(EndOf(sleeper), SIGKILL);
}

TEST_F(GroupGuardTest, TheRestOfTheGroupDiesWithTheGuard) {
  const std::set<pid_t> before = Children();
  const pid_t shell = StartShell();
  auto guard = std::make_unique<GroupGuard>(shell);
  const pid_t sleeper = Sleeper();
  kill(shell, SIGTERM);  // it alone
  EXPECT_EQ(EndOf(shell), SIGTERM);
  EXPECT_EQ(EndOf(sleeper, 100ms), 0) << "should be left behind";
  guard.reset();
  EXPECT_EQ(EndOf(sleeper), SIGKILL);
  EXPECT_EQ(Children(), before) << "the guard should be gone";
}

// Whoever waits for a pipe or a lock of this process must not wait for the guard.
TEST_F(GroupGuardTest, HoldsNoFile) {
  const pid_t shell = StartShell();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const GroupGuard guard(shell);
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

}  // namespace
}  // namespace lathe
