#include "executor/local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

namespace lathe::executor {
namespace {

using ::testing::HasSubstr;

// Trials are shell scripts here; $0 is the trial's folder.
class Local : public ::testing::Test {
 protected:
  Local() { MakeFolder(root_); }
  ~Local() override { fs::remove_all(root_); }

  std::unique_ptr<study::Executor> Make(const std::string& script, LocalOptions options = {}) {
    options.command = {"sh", "-c", script};
    if (options.slots == 0) options.slots = 1;
    return MakeLocalExecutor(options);
  }
  fs::path Folder(int64_t trial) {
    MakeFolder(root_ / std::to_string(trial));
    return root_ / std::to_string(trial);
  }
  // Polls until `count` jobs ended.
  static std::vector<study::JobEnd> Wait(study::Executor& executor, size_t count = 1) {
    std::vector<study::JobEnd> ends;
    for (int i = 0; i < 2000 && ends.size() < count; ++i) {
      for (const study::JobEnd& end : executor.Poll()) ends.push_back(end);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(ends.size(), count);
    return ends;
  }
  static void WaitForFile(const fs::path& path) {
    for (int i = 0; i < 2000 && !fs::exists(path); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(fs::exists(path));
  }

  const fs::path root_ = fs::temp_directory_path() / fmt::format("lathe-local-test-{}", getpid());
};

TEST_F(Local, RunsInTheFolderWithLogThreadsAndCpus) {
  const auto executor =
      Make("echo out; echo err >&2; echo $OMP_NUM_THREADS; nproc; echo {} > $0/result.json",
           {.slots = 1, .threads_per_slot = 1, .command = {}});
  EXPECT_EQ(executor->FreeSlots(), 1);
  executor->Submit(7, Folder(7));
  EXPECT_EQ(executor->FreeSlots(), 0);
  const study::JobEnd end = Wait(*executor).front();
  EXPECT_EQ(end.trial, 7);
  EXPECT_FALSE(end.crashed);
  EXPECT_FALSE(end.continue_me);
  EXPECT_EQ(executor->FreeSlots(), 1);
  EXPECT_EQ(ReadFile(Folder(7) / "log.txt"), "out\nerr\n1\n1\n");
}

TEST_F(Local, EndingsAreToldApart) {
  const auto executor = Make(
      "case $0 in *1) exit 75;; *2) exit 3;; *3) kill -9 $$;; *4) exit 0;; esac", {.slots = 4});
  for (int64_t trial = 1; trial <= 4; ++trial) executor->Submit(trial, Folder(trial));
  std::map<int64_t, study::JobEnd> ends;
  for (const study::JobEnd& end : Wait(*executor, 4)) ends[end.trial] = end;
  EXPECT_TRUE(ends[1].continue_me);
  EXPECT_FALSE(ends[1].crashed);
  EXPECT_TRUE(ends[2].crashed);
  EXPECT_THAT(ends[2].reason, HasSubstr("exit code 3"));
  EXPECT_THAT(ends[3].reason, HasSubstr("SIGKILL"));
  EXPECT_TRUE(ends[4].crashed) << "success without a result is none";
  EXPECT_THAT(ends[4].reason, HasSubstr("without a result"));
}

TEST_F(Local, CancelLetsATrialSave) {
  const auto executor =
      Make("trap 'echo saved > $0/saved; exit 75' TERM; touch $0/up; while :; do sleep 0.01; done");
  executor->Submit(1, Folder(1));
  WaitForFile(Folder(1) / "up");
  EXPECT_TRUE(executor->Poll().empty());
  executor->Cancel(1);
  EXPECT_TRUE(Wait(*executor).front().continue_me);
  EXPECT_TRUE(fs::exists(Folder(1) / "saved"));
  executor->Cancel(1);  // over: nothing to do
}

TEST_F(Local, CancelKillsWhatDoesNotListenWithItsChildren) {
  const auto executor = Make(
      "trap '' TERM; sleep 1000 & echo $! > $0/child; touch $0/up; while :; do sleep 0.01; done",
      {.slots = 1, .command = {}, .stop_seconds = 0.1});
  executor->Submit(1, Folder(1));
  WaitForFile(Folder(1) / "up");
  const pid_t child = std::stoi(ReadFile(Folder(1) / "child"));
  executor->Cancel(1);
  const study::JobEnd end = Wait(*executor).front();
  EXPECT_TRUE(end.continue_me) << "our doing, not the trial's";
  EXPECT_FALSE(end.crashed);
  // Dead or, where nobody reaps orphans, a zombie.
  const auto gone = [&] {
    if (kill(child, 0) != 0) return true;
    const std::string stat = ReadFile(fmt::format("/proc/{}/stat", child));
    return stat.find(") Z") != std::string::npos;
  };
  for (int i = 0; i < 1000 && !gone(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(gone());
}

TEST_F(Local, AHangIsACrashButSignsOfLifeArent) {
  const auto executor = Make(
      "case $0 in *1) sleep 1000;; *2) for i in 1 2 3 4 5 6 7 8; do echo > $0/progress.json; "
      "sleep 0.1; done; exit 75;; esac",
      {.slots = 2, .command = {}, .hang_seconds = 0.6});
  executor->Submit(1, Folder(1));
  executor->Submit(2, Folder(2));
  std::map<int64_t, study::JobEnd> ends;
  for (const study::JobEnd& end : Wait(*executor, 2)) ends[end.trial] = end;
  EXPECT_TRUE(ends[1].crashed);
  EXPECT_THAT(ends[1].reason, HasSubstr("no sign of life for 0.6 seconds"));
  EXPECT_FALSE(ends[2].crashed);
}

TEST_F(Local, AWrongClockIsNoHang) {
  const auto executor = Make(
      "for i in 1 2 3 4 5 6; do echo $i > $0/progress.json; touch -d '2001-01-01 00:00:0'$i "
      "$0/progress.json; sleep 0.1; done; exit 75",
      {.slots = 1, .command = {}, .hang_seconds = 0.5});
  executor->Submit(1, Folder(1));
  EXPECT_FALSE(Wait(*executor).front().crashed);
}

TEST_F(Local, ATrialThatTakesTooMuchMemoryIsEndedWithItsChildren) {
  // Half of it in a child.
  const std::string take = "dd if=/dev/zero of=/dev/null bs=50M count=1000000 2>/dev/null";
  const auto executor =
      Make("case $0 in *1) " + take + " & " + take + ";; *2) sleep 3;; esac; exit 75",
           {.slots = 2, .command = {}, .memory_bytes = 80e6});
  executor->Submit(1, Folder(1));
  executor->Submit(2, Folder(2));
  std::map<int64_t, study::JobEnd> ends;
  for (const study::JobEnd& end : Wait(*executor, 2)) ends[end.trial] = end;
  EXPECT_FALSE(ends[2].crashed);
  EXPECT_TRUE(ends[1].crashed);
  EXPECT_THAT(ends[1].reason, HasSubstr("GB of memory and may use 0.08"));
}

TEST_F(Local, SlotsHaveTheirOwnGpus) {
  LocalOptions options{.slots = 2, .gpus_per_slot = 2, .gpus = {"0", "1", "GPU-a", "3"}};
  const auto executor = Make("echo $CUDA_VISIBLE_DEVICES; exit 75", options);
  executor->Submit(1, Folder(1));
  executor->Submit(2, Folder(2));
  EXPECT_THAT(executor->Jobs()[1].where, HasSubstr("GPUs GPU-a,3"));
  Wait(*executor, 2);
  EXPECT_EQ(ReadFile(Folder(1) / "log.txt"), "0,1\n");
  EXPECT_EQ(ReadFile(Folder(2) / "log.txt"), "GPU-a,3\n");
  options.slots = 3;
  EXPECT_THROW(Make("true", options), Error) << "more than there are";
  EXPECT_EQ(MakeLocalExecutor({.gpus_per_slot = 4, .gpus = options.gpus, .command = {"true"}})
                ->FreeSlots(),
            1)
      << "by default as many slots as have GPUs";
}

TEST_F(Local, SaysWhatRunsWhere) {
  const auto executor = Make("sleep 1000", {.slots = 1});
  EXPECT_TRUE(executor->Jobs().empty());
  executor->Submit(3, Folder(3));
  const std::vector<study::JobState> jobs = executor->Jobs();
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].trial, 3);
  EXPECT_TRUE(jobs[0].running);
  EXPECT_THAT(jobs[0].job, HasSubstr("process "));
  EXPECT_EQ(jobs[0].where, fmt::format("CPUs {}", AvailableCpus()[0]));
}

TEST_F(Local, SlotsHaveTheirOwnCpus) {
  const std::vector<int> cpus = AvailableCpus();
  if (cpus.size() < 2) GTEST_SKIP() << "SKIPPED: needs two CPUs";
  const auto executor = Make("grep Cpus_allowed_list /proc/self/status; exit 75", {.slots = 2});
  executor->Submit(1, Folder(1));
  executor->Submit(2, Folder(2));
  EXPECT_THROW(executor->Submit(3, Folder(3)), Error) << "no slot left";
  Wait(*executor, 2);
  const std::string first = ReadFile(Folder(1) / "log.txt"),
                    second = ReadFile(Folder(2) / "log.txt");
  EXPECT_THAT(first, HasSubstr(fmt::format("\t{}\n", cpus[0])));
  EXPECT_THAT(second, HasSubstr(fmt::format("\t{}\n", cpus[1])));
}

TEST_F(Local, DestructionEndsTrials) {
  {
    const auto executor =
        Make("trap 'touch $0/saved; exit 75' TERM; touch $0/up; while :; do sleep 0.01; done");
    executor->Submit(1, Folder(1));
    WaitForFile(Folder(1) / "up");
  }
  EXPECT_TRUE(fs::exists(Folder(1) / "saved"));
}

TEST_F(Local, AMissingProgramIsAnError) {
  const auto executor = MakeLocalExecutor({.slots = 1, .command = {"/no/such/program"}});
  EXPECT_THROW(executor->Submit(1, Folder(1)), Error);
  EXPECT_EQ(executor->FreeSlots(), 1) << "the slot stays free";
}

TEST_F(Local, ByDefaultOneSlotPerCpu) {
  EXPECT_EQ(MakeLocalExecutor({.command = {"true"}})->FreeSlots(),
            static_cast<int>(AvailableCpus().size()));
}

}  // namespace
}  // namespace lathe::executor
