#include "executor/slurm_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "base/quote.h"
#include "base/temp_folder_testing.h"

namespace lathe::executor {
namespace {

using ::testing::HasSubstr;

// What Slurm runs, without Slurm: the script as it is, with a program in place of the trial.
class JobScriptTest : public ::testing::Test {
 protected:
  ~JobScriptTest() override {
    if (pid_ > 0) SignalProcessGroup(pid_, SIGKILL);
  }

  void Start(const JobScript& script, std::map<std::string, std::string> env = {}) {
    WriteFileAtomically(temp_ / "job.sh", ToText(script));
    env["SLURM_JOB_ID"] = "7";
    env["SLURM_JOB_NODELIST"] = "n1";
    env["PATH"] = (temp_ / "bin").string() + ":/usr/bin:/bin";
    ProcessOptions options;
    options.argv = {"bash", (temp_ / "job.sh").string()};
    options.env = env;
    pid_ = StartProcess(options);
  }
  int Wait() const {
    std::optional<ProcessExit> exit;
    while (!(exit = PollProcess(pid_))) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return exit->code;
  }

  static void WaitFor(const fs::path& file) {
    for (int i = 0; i < 2000 && !fs::exists(file); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  static JobScript Script(const fs::path& folder, const std::string& shell) {
    return {.folders = {{0, folder}}, .command = {"sh", "-c", shell}, .threads = 3};
  }

  const TempFolder temp_;
  pid_t pid_ = 0;
};

TEST_F(JobScriptTest, RunsTheTrialOfItsFolderWhateverThePathHolds) {
  const fs::path folder = temp_ / "it's \"here\" $(touch hacked)\n`x` \\";
  MakeFolder(folder);
  JobScript script = Script(folder, "echo in \"$0\" with $OMP_NUM_THREADS $NOTE; exit 5");
  script.setup = {"export NOTE='it is'", "NOTE=\"$NOTE set\""};
  Start(script, {{"SLURM_RESTART_COUNT", "2"}});
  EXPECT_EQ(Wait(), 5);
  EXPECT_EQ(ReadFile(folder / "log.txt"),
            "Slurm job 7 on n1, start 3\nin " + folder.string() + " with 3 it is set\n");
  const std::optional<JobExit> exit = ReadJobExit(folder);
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->job, 7);
  EXPECT_EQ(exit->restarts, 2);
  EXPECT_EQ(exit->code, 5);
  EXPECT_FALSE(fs::exists("hacked"));
}

TEST_F(JobScriptTest, AnElementOfAnArrayRunsItsOwnTrial) {
  JobScript script = Script(temp_ / "a", "exit 0");
  script.folders = {{0, temp_ / "a"}, {17, temp_ / "b"}};
  for (const auto& [index, folder] : script.folders) MakeFolder(folder);
  Start(script, {{"SLURM_ARRAY_TASK_ID", "17"}, {"SLURM_ARRAY_JOB_ID", "5"}});
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(ReadJobExit(temp_ / "b")->job, 5);
  EXPECT_THAT(ReadFile(temp_ / "b" / "log.txt"), HasSubstr("Slurm job 5_17 on n1"));
  EXPECT_FALSE(fs::exists(temp_ / "a" / "log.txt"));
}

TEST_F(JobScriptTest, ANodeThatDoesNotSeeTheFolderSaysSo) {
  Start(Script(temp_ / "nowhere", "exit 0"));
  EXPECT_EQ(Wait(), kNoFolder);
}

constexpr char kSavesOnTerm[] =
    "trap 'echo saved; exit 75' TERM; touch \"$0/up\"; while :; do sleep 0.01; done";

TEST_F(JobScriptTest, NearItsTimeLimitASavedTrialGoesBackIntoTheQueue) {
  const fs::path folder = temp_ / "t";
  for (const int signal : {SIGUSR1, SIGTERM}) {
    fs::remove_all(folder);
    MakeFolder(folder);
    WriteFileAtomically(
        temp_ / "bin/scontrol",
        "#!/bin/sh\necho \"$@\" >>" + ShellQuoted((folder / "asked").string()) + "\nexit 1\n");
    fs::permissions(temp_ / "bin/scontrol", fs::perms::owner_all);
    Start(Script(folder, kSavesOnTerm));
    WaitFor(folder / "up");
    kill(pid_, signal);
    EXPECT_EQ(Wait(), 75) << "where the queue refuses, too";
    EXPECT_EQ(ReadJobExit(folder)->code, 75);
    EXPECT_THAT(ReadFile(folder / "log.txt"), HasSubstr("saved"));
    // Who cancels a job does not want it back.
    EXPECT_EQ(fs::exists(folder / "asked"), signal == SIGUSR1);
  }
}

TEST_F(JobScriptTest, ATrialThatSavesAtOnceIsNotTakenForCrashed) {
  const fs::path folder = temp_ / "t";
  MakeFolder(folder);
  JobScript script = Script(folder, kSavesOnTerm);
  // It has ended before the script looks again.
  script.setup = {"kill() { command kill \"$@\"; sleep 0.3; }"};
  Start(script);
  WaitFor(folder / "up");
  kill(pid_, SIGUSR1);
  EXPECT_EQ(Wait(), 75);
  EXPECT_EQ(ReadJobExit(folder)->code, 75);
}

TEST_F(JobScriptTest, ASignalBeforeTheTrialStartsIsNotLost) {
  const fs::path folder = temp_ / "t";
  for (const int signal : {SIGUSR1, SIGTERM}) {
    fs::remove_all(folder);
    MakeFolder(folder);
    JobScript script = Script(folder, "touch \"$0/started\"");
    script.setup = {"touch \"$folder/up\"", "until [ -f \"$folder/go\" ]; do sleep 0.01; done"};
    Start(script);
    WaitFor(folder / "up");
    kill(pid_, signal);
    WriteFileAtomically(folder / "go", "");
    EXPECT_EQ(Wait(), 75);
    EXPECT_EQ(ReadJobExit(folder)->code, 75);
    EXPECT_FALSE(fs::exists(folder / "started"));
  }
}

TEST_F(JobScriptTest, SeveralProcessesAreStartedBySrun) {
  const fs::path folder = temp_ / "t";
  MakeFolder(folder);
  WriteFileAtomically(temp_ / "bin/srun", "#!/bin/sh\necho srun \"$@\"\n");
  fs::permissions(temp_ / "bin/srun", fs::perms::owner_all);
  JobScript script = Script(folder, "exit 0");
  script.processes = 4;
  Start(script);
  EXPECT_EQ(Wait(), 0);
  EXPECT_THAT(ReadFile(folder / "log.txt"),
              HasSubstr("srun --ntasks=4 --cpus-per-task=3 --kill-on-bad-exit=1 sh -c exit 0 " +
                        folder.string()));
}

TEST_F(JobScriptTest, AnExitThatCannotBeReadIsNone) {
  EXPECT_FALSE(ReadJobExit(temp_.path()));
  WriteFileAtomically(temp_ / kJobExitFile, "12 0");
  EXPECT_FALSE(ReadJobExit(temp_.path()));
}

// As squeue of Slurm 22.05 prints it.
TEST(SlurmTextTest, ReadsTheQueue) {
  const std::vector<QueueRow> rows = ParseQueue(
      "squeue: warning: something\n"
      "1|N/A|FAILED|NonZeroExitCode|n1|lathe-a-12\n"
      "2|3|PENDING|None||name|with|bars\n"
      "4|N/A|PENDING|BadConstraints||x\n"
      "5|N/A|RUNNING|None|n[1-2]|\n");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].job, 1);
  EXPECT_FALSE(rows[0].index);
  EXPECT_EQ(rows[0].state, "FAILED");
  EXPECT_EQ(rows[0].nodes, "n1");
  EXPECT_EQ(rows[0].name, "lathe-a-12");
  EXPECT_EQ(rows[1].index, 3);
  EXPECT_EQ(rows[1].reason, "");
  EXPECT_EQ(rows[1].name, "name|with|bars");
  EXPECT_EQ(rows[2].reason, "BadConstraints");
  EXPECT_EQ(rows[3].nodes, "n[1-2]");
}

// As sacct of Slurm 22.05 prints them.
TEST(SlurmTextTest, ReadsTheAccounts) {
  const std::map<std::string, AccountRow> rows = ParseAccounts(
      "1|CANCELLED by 0|n1\n2_3|FAILED|n2\n4|PENDING|None assigned\nsacct: error: something\n");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows.at("1").state, "CANCELLED");
  EXPECT_EQ(rows.at("1").nodes, "n1");
  EXPECT_EQ(rows.at("2_3").state, "FAILED");
  EXPECT_EQ(rows.at("4").state, "PENDING");
  EXPECT_TRUE(ParseAccounts("Slurm accounting storage is disabled\n").empty());
}

TEST(SlurmTextTest, KnowsWhichJobsHaveEnded) {
  for (const char* state : {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED",
                            "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}) {
    EXPECT_TRUE(HasEnded(state)) << state;
  }
  for (const char* state : {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED",
                            "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SIGNALING"}) {
    EXPECT_FALSE(HasEnded(state)) << state;
  }
}

TEST(SlurmTextTest, ReadsTheNumberOfANewJob) {
  EXPECT_EQ(ParseSubmitted("12\n"), 12);
  EXPECT_EQ(ParseSubmitted("sbatch: Warning: something\n12;cluster\n"), 12);
  EXPECT_FALSE(ParseSubmitted("sbatch: error: 12 is no partition\n"));
}

// Words of sbatch 22.05 and of its documentation.
TEST(SlurmTextTest, TellsRefusalsApart) {
  EXPECT_EQ(WhyRefused("sbatch: error: Batch job submission failed: Unable to contact slurm "
                       "controller (connect failure)"),
            Refusal::kLater);
  EXPECT_EQ(WhyRefused("sbatch: error: Batch job submission failed: Socket timed out on send/recv "
                       "operation"),
            Refusal::kLater);
  EXPECT_EQ(WhyRefused("sbatch: error: Slurm temporarily unable to accept job, sleeping and "
                       "retrying"),
            Refusal::kLater);
  EXPECT_EQ(WhyRefused("sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission "
                       "failed: Job violates accounting/QOS policy (job submit limit, user's size "
                       "and/or time limits)"),
            Refusal::kTooMany);
  EXPECT_EQ(WhyRefused("sbatch: error: Batch job submission failed: Invalid job array "
                       "specification"),
            Refusal::kNoArrays);
  EXPECT_EQ(WhyRefused("sbatch: error: invalid partition specified: x"), Refusal::kForGood);
}

TEST(SlurmTextTest, MessagesFitIntoSentences) {
  EXPECT_EQ(MessageOf("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job "
                      "submission failed: Invalid partition name specified\n"),
            "invalid partition specified: x; Batch job submission failed: Invalid partition name "
            "specified");
  EXPECT_EQ(MessageOf("slurm_load_jobs error: Unable to contact slurm controller"),
            "Unable to contact slurm controller");
  EXPECT_EQ(MessageOf(""), "without a message");
  EXPECT_EQ(PlainName("it's a/b|c\n\xc3\xa9 1.0_x-y"), "it_s_a_b_c____1.0_x-y");
}

}  // namespace
}  // namespace lathe::executor
