// Hundreds of workers, a controller that dies again and again, and files that come late or torn.
#include "executor/fault_injection_testing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "executor/controller_testing.h"

namespace lathe::executor {
namespace {

TEST(FaultInjection, NothingIsLostOrCountedTwice) {
  const fs::path folder = TestFolder();
  spdlog::set_level(spdlog::level::err);  // faults are what this is about
  const FaultReport report = RunWithFaults({.folder = folder,
                                            .trials = 1500,
                                            .workers = 200,
                                            .kills = 25,
                                            .seconds = 1,
                                            .torn = 0.02,
                                            .late = 0.02,
                                            .dead = 0.02,
                                            .continued = 0.02,
                                            .poll_seconds = 0.01});
  spdlog::set_level(spdlog::level::info);
  fs::remove_all(folder);
  EXPECT_THAT(report.mistakes, ::testing::IsEmpty());
  EXPECT_GT(report.killed, 5);
  EXPECT_GT(report.starts, 1500) << "faults were injected";
}

}  // namespace
}  // namespace lathe::executor
