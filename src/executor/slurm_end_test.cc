#include "executor/slurm_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe::executor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SlurmEndTest : public testing::Test {
 protected:
  EndedJob Job(const std::string& state, std::optional<int> code = {}) const {
    EndedJob job{.name = "Slurm job 12_3", .folder = temp_.path(), .state = state, .nodes = "n1"};
    if (code) job.exit = JobExit{.job = 12, .restarts = 0, .code = *code};
    return job;
  }
  static study::JobEnd End(const EndedJob& job) { return EndOf(7, job, 60, 120); }

  TempFolder temp_;
};

TEST_F(SlurmEndTest, AResultIsAllThatCounts) {
  WriteFileAtomically(temp_ / "result.json", "{}");
  for (const char* state : {"", "COMPLETED", "CANCELLED", "NODE_FAIL"}) {
    EXPECT_TRUE(LeftEnough(Job(state)));
    const study::JobEnd end = End(Job(state, 1));
    EXPECT_EQ(end.trial, 7);
    EXPECT_FALSE(end.crashed || end.continue_me || end.io_error) << state;
    EXPECT_EQ(end.reason, "");
  }
}

TEST_F(SlurmEndTest, WhatEndsByNoFaultOfItsOwnGoesOn) {
  for (const char* state : {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"}) {
    EXPECT_TRUE(LeftEnough(Job(state)));
    EXPECT_TRUE(End(Job(state)).continue_me) << state;
  }
  EXPECT_EQ(End(Job("PREEMPTED")).reason, "Slurm job 12_3 on n1: preempted");
  EXPECT_TRUE(End(Job("FAILED", study::kTrialContinueMe)).continue_me);
  EndedJob ours = Job("CANCELLED");
  ours.cancelled = true;
  EXPECT_TRUE(End(ours).continue_me);
  EXPECT_TRUE(End(Job("FAILED", study::kTrialIoError)).io_error);
}

TEST_F(SlurmEndTest, OthersAreSaidToHaveCrashedAndWhy) {
  const auto reason = [](const EndedJob& job) {
    const study::JobEnd end = End(job);
    EXPECT_TRUE(end.crashed);
    EXPECT_FALSE(end.continue_me);
    return end.reason;
  };
  EXPECT_EQ(reason(Job("CANCELLED")), "Slurm job 12_3 on n1: cancelled by somebody else");
  // Somebody who cancels a job does not want it back, even if it has saved.
  EXPECT_THAT(reason(Job("CANCELLED", study::kTrialContinueMe)), HasSubstr("cancelled by"));
  EXPECT_THAT(reason(Job("TIMEOUT")), AllOf(HasSubstr("time_limit"), HasSubstr("(120)")));
  EXPECT_THAT(reason(Job("OUT_OF_MEMORY", 137)), HasSubstr("raise memory in [slurm]"));
  EXPECT_THAT(reason(Job("FAILED", 137)), HasSubstr("signal 9"));
  EXPECT_THAT(reason(Job("", 3)), HasSubstr("3"));
  EXPECT_THAT(reason(Job("COMPLETED", 0)), HasSubstr("without a result"));
  EXPECT_THAT(reason(Job("")), HasSubstr("without a word (no longer in the queue)"));
  EndedJob hangs = Job("CANCELLED");
  hangs.cancelled = hangs.hangs = true;
  EXPECT_THAT(reason(hangs), HasSubstr("no sign of life for 60 seconds"));
}

TEST_F(SlurmEndTest, FilesMayShowUpLate) {
  for (const char* state : {"", "COMPLETED", "FAILED"}) EXPECT_FALSE(LeftEnough(Job(state)));
  EXPECT_FALSE(LeftEnough(Job("COMPLETED", 0))) << "the result is still on its way";
  EXPECT_TRUE(LeftEnough(Job("FAILED", 1)));
  EXPECT_TRUE(LeftEnough(Job("", 1)));
  EXPECT_TRUE(LeftEnough(Job("OUT_OF_MEMORY")));
}

}  // namespace
}  // namespace lathe::executor
