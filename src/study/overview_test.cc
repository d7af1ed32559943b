#include "study/overview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/temp_folder_testing.h"
#include "study/search_clock.h"
#include "study/store.h"

namespace lathe::study {
namespace {

using testing::ElementsAre;
using testing::Pair;

TrialRecord Trial(int64_t number, double latency_us) {
  return {.number = number, .encoding = {3}, .latency_us = latency_us};
}

void Complete(Store& store, TrialRecord trial, double value, double end) {
  trial.state = TrialState::kComplete;
  trial.value = value;
  trial.metrics = {{"accuracy", 1 - value}};
  trial.end = end;
  store.Finish(trial);
}

TEST(OverviewTest, TellsWhatGoesOn) {
  const TempFolder folder;
  Store store(folder / "study.db", "s", {{.name = "kernel", .choices = {3, 5}}});
  TrialRecord imported = Trial(0, 100);
  imported.state = TrialState::kComplete;
  imported.value = 0.5;
  imported.imported_from = "elsewhere";
  store.Import({imported}, "warm_start", "{}");
  for (int64_t number = 1; number <= 5; ++number) store.Create(Trial(number, 100.0 * number));
  for (const int64_t number : {1, 2, 3, 5}) store.SetRunning(number);
  Complete(store, Trial(1, 100), 0.3, 50);
  Complete(store, Trial(2, 200), 0.2, 60);
  Complete(store, Trial(5, 300), 0.4, 61);  // slower and worse
  store.AddCrash(3, "killed by signal 9");
  store.SetRunning(3);
  store.LogEvent("first");
  store.LogEvent("second");

  const Overview overview = ReadOverview(folder / "study.db");
  EXPECT_THAT(overview.states,
              ElementsAre(Pair("COMPLETE", 4), Pair("RUNNING", 1), Pair("WAITING", 1)));
  EXPECT_EQ(overview.Done(), 3);  // the imported one was not trained here
  ASSERT_EQ(overview.open.size(), 2u);
  EXPECT_TRUE(overview.open[0].running);
  EXPECT_EQ(overview.open[0].starts, 2);
  EXPECT_EQ(overview.open[0].reason, "killed by signal 9");
  EXPECT_FALSE(overview.open[1].running);
  ASSERT_EQ(overview.best.size(), 4u);
  EXPECT_EQ(overview.best[0].number, 2);
  EXPECT_DOUBLE_EQ(overview.best[0].accuracy, 0.8);
  EXPECT_TRUE(overview.best[3].imported);
  EXPECT_THAT(overview.front,
              ElementsAre(Pair(100, testing::DoubleEq(0.7)), Pair(200, testing::DoubleEq(0.8))));
  EXPECT_EQ(overview.events.front().second, "second");
  EXPECT_FALSE(overview.foreseen_end);
  SearchClock clock(store);
  clock.Ended(100);
  clock.Foresee({.to_start = 3, .slots = 1}, 0, 0);
  clock.Save();
  EXPECT_NEAR(ReadOverview(folder / "study.db").foreseen_end.value(), UnixSeconds() + 300, 5);
}

TEST(OverviewTest, RefusesWhatIsNoStudy) {
  const TempFolder folder;
  EXPECT_NE(MessageOf(ErrorKind::kInput, [&] { ReadOverview(folder / "study.db"); }), "");
}

}  // namespace
}  // namespace lathe::study
