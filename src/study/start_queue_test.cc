#include "study/start_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace lathe::study {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(StartQueue, TakesTurns) {
  StartQueue queue(milliseconds(1));
  for (const int64_t trial : {5, 3, 9}) queue.Add(trial);
  EXPECT_EQ(queue.CountDue(), 3);
  EXPECT_THAT(queue.TakeDue(2), ElementsAre(5, 3));
  queue.Add(5);
  EXPECT_THAT(queue.TakeDue(10), ElementsAre(9, 5));
  EXPECT_EQ(queue.size(), 0);
}

TEST(StartQueue, OneThatDiedLetsOthersPass) {
  StartQueue queue(std::chrono::hours(1));
  queue.AddDelayed(1);
  queue.Add(2);
  EXPECT_EQ(queue.CountDue(), 1);
  EXPECT_EQ(queue.size(), 2);
  EXPECT_THAT(queue.TakeDue(10), ElementsAre(2));
  EXPECT_THAT(queue.TakeDue(10), IsEmpty());
  EXPECT_THAT(queue.TakeAll(), ElementsAre(1));
}

// Sleeps may take longer, never shorter: what is checked is that nothing comes too soon, and comes.
TEST(StartQueue, DelaysDoubleUntilForgotten) {
  constexpr milliseconds kFirst{20};
  StartQueue queue(kFirst);
  const auto wait = [&] {
    const auto start = StartQueue::Clock::now();
    while (queue.TakeDue(1).empty()) std::this_thread::sleep_for(milliseconds(1));
    return StartQueue::Clock::now() - start;
  };
  for (const int factor : {1, 2, 4}) {
    queue.AddDelayed(7);
    EXPECT_GE(wait(), 0.9 * factor * kFirst) << factor;
  }
  queue.ForgetDelays(7);
  queue.AddDelayed(7);
  std::this_thread::sleep_for(kFirst);
  EXPECT_THAT(queue.TakeDue(1), ElementsAre(7));
}

TEST(StartQueue, RemovesWhereverItIs) {
  StartQueue queue(milliseconds(1));
  for (const int64_t trial : {1, 2, 3}) queue.Add(trial);
  queue.AddDelayed(4);
  queue.Remove(2);
  queue.Remove(4);
  queue.Remove(99);
  EXPECT_THAT(queue.TakeAll(), ElementsAre(1, 3));
}

}  // namespace
}  // namespace lathe::study
