#include "base/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::StartsWith;

ProcessExit WaitFor(pid_t pid) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < deadline) {
    if (const auto exit = PollProcess(pid)) return *exit;
    std::this_thread::sleep_for(2ms);
  }
  ADD_FAILURE() << "process " << pid << " did not end";
  SignalProcessGroup(pid, SIGKILL);
  return {};
}

ProcessExit RunShell(const std::string& script, ProcessOptions options) {
  options.argv = {"sh", "-c", script};
  return WaitFor(StartProcess(options));
}

TEST(ProcessTest, ReportsExitCodesAndSignals) {
  const ProcessExit failed = RunShell("exit 3", {});
  EXPECT_EQ(failed.code, 3);
  EXPECT_EQ(failed.signal, 0);
  EXPECT_EQ(failed.Describe(), "exit code 3");
  const ProcessExit killed = RunShell("kill -9 $$", {});
  EXPECT_EQ(killed.code, 137);
  EXPECT_EQ(killed.signal, 9);
  EXPECT_EQ(killed.Describe(), "killed by signal 9 (SIGKILL)");
}

TEST(ProcessTest, PollDoesNotBlock) {
  const pid_t pid = StartProcess({.argv = {"sleep", "60"}});
  EXPECT_FALSE(PollProcess(pid).has_value());
  SignalProcessGroup(pid, SIGTERM);
  EXPECT_EQ(WaitFor(pid).signal, SIGTERM);
  const auto again = PollProcess(pid);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->code, -1);
  EXPECT_NO_THROW(SignalProcessGroup(pid, SIGTERM));
}

TEST(ProcessTest, AppendsBothOutputsToTheLog) {
  TempFolder folder;
  const fs::path log = folder / "new/log.txt";
  RunShell("echo out; echo err >&2", {.log_file = log});
  RunShell("echo again", {.log_file = log});
  EXPECT_EQ(ReadFile(log), "out\nerr\nagain\n");
}

TEST(ProcessTest, SetsEnvironmentFolderAndInput) {
  TempFolder folder;
  setenv("LATHE_TEST_KEPT", "kept", 1);
  setenv("LATHE_TEST_SET", "old", 1);
  RunShell("echo $LATHE_TEST_KEPT $LATHE_TEST_SET; pwd -P; cat",
           {.log_file = folder / "log",
            .working_folder = folder.path(),
            .env = {{"LATHE_TEST_SET", "new value"}}});
  EXPECT_EQ(ReadFile(folder / "log"), "kept new value\n" + folder.path().string() + "\n");
}

TEST(ProcessTest, UnsetsVariables) {
  setenv("LATHE_TEST_UNSET", "there", 1);
  CapturedProcess child(
      {.argv = {"sh", "-c", "echo [$LATHE_TEST_UNSET]"}, .unset = {"LATHE_TEST_UNSET"}});
  EXPECT_EQ(child.Wait().output, "[]\n");
}

TEST(ProcessTest, CapturesWhatAChildSays) {
  CapturedProcess child({.argv = {"sh", "-c", "seq 20000; echo no >&2; exit 3"}});
  const CapturedProcess::Result result = child.Wait();
  EXPECT_EQ(result.exit.code, 3);
  EXPECT_THAT(result.output, StartsWith("1\n2\n"));
  EXPECT_THAT(result.output, EndsWith("20000\nno\n"));
  EXPECT_EQ(child.Poll()->output, result.output) << "as often as asked";
}

TEST(ProcessTest, ACapturedChildEndsWithItsOwner) {
  const TempFolder folder;
  {
    CapturedProcess child({.argv = {"sh", "-c", "echo $$ > new; mv new pid; exec sleep 1000"},
                           .working_folder = folder.path()});
    EXPECT_FALSE(child.Poll());
    while (!fs::exists(folder / "pid")) std::this_thread::sleep_for(5ms);
  }
  EXPECT_NE(kill(std::stoi(ReadFile(folder / "pid")), 0), 0);
}

TEST(ProcessTest, ArgumentsDoNotPassThroughAShell) {
  TempFolder folder;
  WaitFor(StartProcess(
      {.argv = {"printf", "%s|", "a b", "$HOME", "*", ""}, .log_file = folder / "log"}));
  EXPECT_EQ(ReadFile(folder / "log"), "a b|$HOME|*||");
}

TEST(ProcessTest, BindsToCpus) {
  TempFolder folder;
  const int cpu = AvailableCpus().back();
  RunShell("grep Cpus_allowed_list /proc/self/status", {.log_file = folder / "log", .cpus = {cpu}});
  EXPECT_EQ(ReadFile(folder / "log"), "Cpus_allowed_list:\t" + std::to_string(cpu) + "\n");
}

TEST(ProcessTest, StartErrorsAreThrownInTheParent) {
  ExpectError(ErrorKind::kUnavailable,
              "cannot start 'no-such-program-here': No such file or directory; is it installed",
              [] { StartProcess({.argv = {"no-such-program-here"}}); });
  ExpectError(ErrorKind::kUnavailable, "cannot start '/etc/passwd': Permission denied",
              [] { StartProcess({.argv = {"/etc/passwd"}}); });
  ExpectError(ErrorKind::kUnavailable, "in folder /no/such/folder: No such file or directory",
              [] { StartProcess({.argv = {"true"}, .working_folder = "/no/such/folder"}); });
  ExpectError(ErrorKind::kUnavailable, "on CPUs 100000: Invalid argument; available: ", [] {
    StartProcess({.argv = {"true"}, .cpus = {100000}});
  });
  ExpectError(ErrorKind::kIo, "cannot write /proc: Is a directory",
              [] { StartProcess({.argv = {"true"}, .log_file = "/proc"}); });
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a failed start left a zombie";
}

TEST(ProcessTest, SignalsTheWholeGroup) {
  TempFolder folder;
  const pid_t pid =
      StartProcess({.argv = {"sh", "-c", "sleep 60 & echo $!; wait"}, .log_file = folder / "log"});
  EXPECT_EQ(getpgid(pid), pid);
  while (ReadFile(folder / "log").empty()) std::this_thread::sleep_for(2ms);
  const pid_t grandchild = std::stoi(ReadFile(folder / "log"));
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that we can wait for the orphan
  SignalProcessGroup(pid, SIGKILL);
  EXPECT_EQ(WaitFor(pid).signal, SIGKILL);
  EXPECT_EQ(WaitFor(grandchild).signal, SIGKILL);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(ProcessTest, RefusesToSignalEverything) {
  for (pid_t pid : {-1, 0, 1}) EXPECT_THROW(SignalProcessGroup(pid, 0), Error);
}

// Starts a process that starts a sleeper and then ends; returns how the sleeper ended, if it
// did within `limit`.
std::optional<ProcessExit> OrphanFate(bool die_with_parent, std::chrono::milliseconds limit) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const pid_t sleeper =
        StartProcess({.argv = {"sleep", "60"}, .die_with_parent = die_with_parent});
    _exit(write(ends[1], &sleeper, sizeof sleeper) == sizeof sleeper ? 0 : 1);
  }
  pid_t sleeper = 0;
  EXPECT_EQ(read(ends[0], &sleeper, sizeof sleeper), static_cast<ssize_t>(sizeof sleeper));
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(WaitFor(parent).code, 0);
  std::optional<ProcessExit> fate;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!fate && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(2ms);
    fate = PollProcess(sleeper);
  }
  if (!fate) {
    SignalProcessGroup(sleeper, SIGTERM);
    WaitFor(sleeper);
  }
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  return fate;
}

TEST(ProcessTest, ChildrenDieWithTheirParent) {
  const auto fate = OrphanFate(true, 10s);
  ASSERT_TRUE(fate.has_value());
  EXPECT_EQ(fate->signal, SIGKILL);
}

TEST(ProcessTest, ChildrenMaySurviveTheirParent) {
  EXPECT_FALSE(OrphanFate(false, 200ms).has_value());
}

TEST(ProcessTest, ChildrenStartWithDefaultSignals) {
  signal(SIGTERM, SIG_IGN);
  const pid_t pid = StartProcess({.argv = {"sleep", "60"}});
  signal(SIGTERM, SIG_DFL);
  SignalProcessGroup(pid, SIGTERM);
  EXPECT_EQ(WaitFor(pid).signal, SIGTERM);
}

TEST(StopTest, FirstSignalAsksAndSecondEnds) {
  EXPECT_FALSE(StopRequested());
  const pid_t child = fork();
  if (child == 0) {
    InstallStopHandler();
    raise(SIGTERM);
    if (!StopRequested()) _exit(1);
    raise(SIGINT);
    _exit(2);
  }
  EXPECT_EQ(WaitFor(child).code, 130);
}

TEST(ProcessTest, KnowsItself) {
  EXPECT_TRUE(fs::is_regular_file(OwnExecutable()));
  EXPECT_EQ(AvailableCpus().size(), static_cast<size_t>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace lathe
