#include "search/climb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "search/surrogate.h"
#include "search/synthetic_testing.h"

namespace lathe::search {
namespace {

// What a model of 41 genes that knows 100 results says of candidates.
class ClimbTest : public testing::Test {
 protected:
  ClimbTest() {
    fit_ =
        LearnFit(InputMap(source_.dimensions(), 1), beliefs_, beliefs_.size(), {}, 100, Random(1));
    surrogate_.emplace(*fit_, beliefs_, Meaning{}, Random(2));
  }

  // Of the highest of so many draws.
  double BestOfDraws(int count) {
    Pool pool(*surrogate_);
    pool.Add(source_.Draw(count, random_));
    return std::ranges::max(pool.scores());
  }

  SyntheticSource source_{41, 4, 5};
  Random random_{3};
  const std::vector<Candidate> known_ = source_.Draw(100, random_);
  const Beliefs beliefs_ = ResultsOf(source_, known_);
  std::optional<Fit> fit_;
  std::optional<Surrogate> surrogate_;
};

TEST_F(ClimbTest, GetsFartherThanTenTimesAsManyDraws) {
  const double draws = BestOfDraws(6000);
  double gain = 0;
  constexpr size_t kClimbs = 8;
  for (size_t i = 0; i < kClimbs; ++i) {
    Pool pool(*surrogate_);
    std::set<std::vector<int>> seen;
    const auto is_new = [&](const Candidate& one) { return seen.insert(one.encoding).second; };
    Climb(pool, source_, is_new, {.candidate = known_[i]}, random_);
    EXPECT_LT(pool.scores().size(), 600U);
    EXPECT_EQ(pool.scores().size(), seen.size()) << "each is scored once";
    gain += (std::ranges::max(pool.scores()) - draws) / kClimbs;
  }
  EXPECT_GT(gain, 2) << "the expected improvement is larger by so many powers of e";
}

TEST_F(ClimbTest, EndsWhereNoChangeGains) {
  SyntheticSource source(14, 4);
  const std::vector<Candidate> known = source.Draw(40, random_);
  const Beliefs beliefs = ResultsOf(source, known);
  const Fit fit = LearnFit(InputMap(source.dimensions(), 1), beliefs, 40, {}, 100, Random(1));
  const Surrogate surrogate(fit, beliefs, Meaning{}, Random(2));
  for (size_t i = 0; i < 8; ++i) {
    Pool pool(surrogate);
    std::set<std::vector<int>> seen;
    Climb(
        pool, source, [&](const Candidate& one) { return seen.insert(one.encoding).second; },
        {.candidate = known[i]}, random_);
    const auto top = std::ranges::max_element(pool.scores()) - pool.scores().begin();
    Pool around(surrogate);
    around.Add(source.Neighbours(pool.candidates()[static_cast<size_t>(top)]));
    EXPECT_GE(pool.scores()[static_cast<size_t>(top)], std::ranges::max(around.scores()) - 1e-9);
  }
}

TEST_F(ClimbTest, WhatIsNotNewIsNeverScored) {
  Pool pool(*surrogate_);
  Climb(
      pool, source_, [](const Candidate&) { return false; }, {.candidate = known_.front()},
      random_);
  EXPECT_TRUE(pool.scores().empty());
}

}  // namespace
}  // namespace lathe::search
