#include "train/lanes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

namespace lathe::train {
namespace {

class LanesTest : public testing::TestWithParam<int> {  // lanes at once
 protected:
  Lanes lanes_{{.lanes = 4, .at_once = GetParam()}};
};

TEST_P(LanesTest, AddsUpInPairsAgainAndAgain) {
  // Numbers whose sum depends on the order: one by one, the 4 would be left.
  constexpr double kLarge = 1e20;
  const double own[] = {kLarge, 3, -kLarge, 4};
  for (int run = 0; run < 50; ++run) {
    lanes_.Run([&](int lane) {
      for (int i = 0; i < 20; ++i) {
        double values[] = {own[lane], static_cast<double>(lane + i)};
        lanes_.Sum(lane, values, nullptr);
        EXPECT_EQ(values[0], 0);
        EXPECT_EQ(values[1], 6 + 4 * i);
      }
    });
  }
}

TEST_P(LanesTest, RunsNoMoreAtOnceThanItShould) {
  std::atomic<int> running{0}, most{0};
  const auto work = [&] {
    const int now = ++running;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    --running;
  };
  lanes_.Run([&](int) {
    work();
    lanes_.Meet();
    work();
  });
  EXPECT_EQ(most, GetParam());
}

TEST_P(LanesTest, TheLastToComeActsForAll) {
  int calls = 0;
  lanes_.Run([&](int) {
    for (int i = 1; i <= 10; ++i) {
      lanes_.Meet([&] { ++calls; });
      EXPECT_EQ(calls, i);
      lanes_.Meet();
    }
  });
  EXPECT_EQ(calls, 10);
}

TEST_P(LanesTest, AFailureEndsAllAndTheNextRunWorks) {
  for (const bool meeting : {false, true}) {
    std::atomic<int> after{0};
    const auto fail = [] { throw std::runtime_error("no room"); };
    try {
      lanes_.Run([&](int lane) {
        lanes_.Meet();
        if (meeting) lanes_.Meet(fail);
        if (lane == 2) fail();
        lanes_.Meet();
        ++after;
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "no room");
    }
    EXPECT_EQ(after, 0);
    std::atomic<int> done{0};
    lanes_.Run([&](int) {
      lanes_.Meet();
      ++done;
    });
    EXPECT_EQ(done, 4);
  }
}

INSTANTIATE_TEST_SUITE_P(AtOnce, LanesTest, testing::Values(1, 2, 4));

TEST(AddInPairsTest, AProcessesLanesAreAPairOfItsOwn) {
  std::vector<std::vector<float>> values{{1e8f, 0}, {1, 0}, {-1e8f, 1}, {2, 1}, {5, 2}};
  std::vector<float*> vectors;
  for (auto& vector : values) vectors.push_back(vector.data());
  AddInPairs<float>(vectors, 0, 1);
  const float first = 1e8f + 1.0f, second = -1e8f + 2.0f;
  EXPECT_EQ(values[0][0], (first + second) + 5.0f);
  EXPECT_EQ(values[0][1], 0);  // not asked for
}

TEST(PartOfTest, PartsCoverAllOnce) {
  for (const int64_t count : {0, 1, 5, 16, 1000}) {
    int64_t end = 0;
    for (int lane = 0; lane < 3; ++lane) {
      const LanePart part = PartOf(count, lane, 3);
      EXPECT_EQ(part.begin, end);
      EXPECT_LE(std::abs(3 * part.count() - count), 3);
      end = part.end;
    }
    EXPECT_EQ(end, count);
  }
}

}  // namespace
}  // namespace lathe::train
