#include "search/proposer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "search/synthetic_testing.h"

namespace lathe::search {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(ParetoFront, KeepsWhatNothingBeats) {
  EXPECT_THAT(ParetoFront({3, 1, 2, 4}, {0.8, 0.5, 0.7, 0.75}), ElementsAre(1, 2, 0));
  EXPECT_THAT(ParetoFront({}, {}), IsEmpty());
  EXPECT_THAT(ParetoFront({1, 1, 2}, {0.5, 0.6, 0.6}), ElementsAre(1))
      << "equal in one, worse in the other";
  EXPECT_THAT(ParetoFront({1, 1}, {0.5, 0.5}), ElementsAre(0, 1))
      << "equal points do not beat each other";
  EXPECT_THAT(ParetoFront({1, kNan, 2}, {kNan, 0.9, 0.6}), ElementsAre(2));
  EXPECT_THROW(ParetoFront({1}, {}), Error);
}

TEST(ParetoFront, MatchesTheDefinition) {
  Random random(9);
  std::vector<double> cost, value;
  for (int i = 0; i < 300; ++i) {
    cost.push_back(static_cast<double>(random.Below(20)));
    value.push_back(static_cast<double>(random.Below(20)));
  }
  std::set<size_t> expected;
  for (size_t i = 0; i < cost.size(); ++i) {
    bool beaten = false;
    for (size_t j = 0; j < cost.size(); ++j) {
      beaten |=
          cost[j] <= cost[i] && value[j] >= value[i] && (cost[j] < cost[i] || value[j] > value[i]);
    }
    if (!beaten) expected.insert(i);
  }
  const std::vector<size_t> front = ParetoFront(cost, value);
  EXPECT_EQ(std::set<size_t>(front.begin(), front.end()), expected);
  for (size_t i = 1; i < front.size(); ++i) EXPECT_LE(cost[front[i - 1]], cost[front[i]]);
}

TEST(Objective, AddsWeightedLatency) {
  EXPECT_DOUBLE_EQ((Objective{.alpha = 0.5, .beta = 2})(1.25, 3000), 1.25 + 0.5 * 9);
  EXPECT_DOUBLE_EQ((Objective{.alpha = 0, .beta = 2})(1.25, 3000), 1.25);
}

TEST(MakeProposer, NamesTheNearest) {
  SyntheticSource source(2, 2);
  try {
    MakeProposer("bayse", source, {.dimensions = source.dimensions()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'bayes'?"));
    EXPECT_THAT(error.what(), HasSubstr("random"));
  }
}

// What every proposer must keep, whatever it is made of.
class AnyProposer : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Proposer> Make(SyntheticSource& source, uint64_t seed = 1) const {
    return MakeProposer(
        GetParam(), source,
        {.dimensions = source.dimensions(), .seed = seed, .initial = 4, .draws = 100});
  }
};

TEST_P(AnyProposer, NeverRepeatsAndEndsWhenNothingIsLeft) {
  SyntheticSource source(3, 2);
  const auto proposer = Make(source);
  std::set<std::vector<int>> asked;
  for (int64_t trial = 0; trial < 8; ++trial) {
    const std::optional<Candidate> candidate = proposer->Ask(trial);
    ASSERT_TRUE(candidate);
    EXPECT_TRUE(asked.insert(candidate->encoding).second) << "trial " << trial;
    if (trial % 2 == 0) proposer->Tell(trial, source.Value(*candidate));
  }
  EXPECT_FALSE(proposer->Ask(8));
  EXPECT_FALSE(proposer->Ask(8)) << "an ask without an answer leaves no trace";
}

TEST_P(AnyProposer, RestoredTrialsAreNotProposedAgain) {
  SyntheticSource source(3, 2);
  Random random(1);
  const auto proposer = Make(source);
  std::set<std::vector<int>> known;
  int64_t trial = 0;
  while (known.size() < 7) {
    const Candidate candidate = source.Draw(1, random).front();
    if (known.insert(candidate.encoding).second) proposer->Restore(trial++, candidate);
  }
  const std::optional<Candidate> last = proposer->Ask(trial);
  ASSERT_TRUE(last);
  EXPECT_FALSE(known.contains(last->encoding));
  EXPECT_FALSE(proposer->Ask(trial + 1));
}

// Many pending, some failing, some reporting on the way, told out of order; then the calls are
// repeated on a new one, which goes on from any of them as the first did.
TEST_P(AnyProposer, ARestoredHistoryProposesTheSame) {
  SyntheticSource source(6, 4, 1);
  struct Call {
    int64_t trial;
    std::optional<Candidate> asked;
    std::optional<Outcome> told;
    int step = 0;
    double report = 0;
  };
  std::vector<Call> calls;
  const auto proposer = Make(source, 7);
  std::vector<std::pair<int64_t, Candidate>> running;
  Random random(3);
  for (int64_t trial = 0; trial < 120; ++trial) {
    const std::optional<Candidate> candidate = proposer->Ask(trial);
    ASSERT_TRUE(candidate);
    calls.push_back({.trial = trial, .asked = candidate, .told = {}});
    running.emplace_back(trial, *candidate);
    while (running.size() > 40) {  // enough for several proposals at once
      const size_t place = random.Below(running.size());
      const auto [other, its] = running[place];
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(place));
      const double value = source.Value(its);
      for (int step = 1; step <= 2; ++step) {
        proposer->Report(other, step, value + 1.0 / step);
        calls.push_back(
            {.trial = other, .asked = {}, .told = {}, .step = step, .report = value + 1.0 / step});
      }
      const Outcome outcome = other % 3 == 1 ? Outcome{} : Outcome{value};
      proposer->Tell(other, outcome);
      calls.push_back({.trial = other, .asked = {}, .told = outcome});
    }
  }
  std::vector<size_t> all_kept = {calls.size() / 3};
  for (size_t back = 1; back <= 16; ++back) all_kept.push_back(calls.size() - back);
  for (const size_t kept : all_kept) {
    const auto restored = Make(source, 7);
    for (size_t i = 0; i < calls.size(); ++i) {
      const Call& call = calls[i];
      if (call.asked && i < kept) {
        restored->Restore(call.trial, *call.asked);
      } else if (call.asked) {
        ASSERT_EQ(restored->Ask(call.trial)->encoding, call.asked->encoding)
            << "trial " << call.trial << " after " << kept << " calls";
      } else if (call.told) {
        restored->Tell(call.trial, *call.told);
      } else {
        restored->Report(call.trial, call.step, call.report);
      }
    }
  }
  EXPECT_NE(Make(source, 8)->Ask(0)->encoding, calls.front().asked->encoding) << "the seed matters";
}

TEST_P(AnyProposer, SurvivesFailuresNanAndConstants) {
  SyntheticSource source(5, 3);
  for (const Outcome& outcome :
       {Outcome{}, Outcome{kNan}, Outcome{std::numeric_limits<double>::infinity()}, Outcome{0.25},
        Outcome{1e300}}) {
    const auto proposer = Make(source);
    for (int64_t trial = 0; trial < 12; ++trial) {
      ASSERT_TRUE(proposer->Ask(trial));
      proposer->Tell(trial, outcome);
    }
  }
}

TEST_P(AnyProposer, WorksOnASpaceOfOneCandidate) {
  SyntheticSource source(3, 1);
  const auto proposer = Make(source);
  EXPECT_TRUE(proposer->Ask(0));
  proposer->Tell(0, 1.0);
  EXPECT_FALSE(proposer->Ask(1));
}

TEST_P(AnyProposer, MisuseIsAnError) {
  SyntheticSource source(3, 2);
  const auto proposer = Make(source);
  const std::optional<Candidate> candidate = proposer->Ask(0);
  EXPECT_THROW(proposer->Tell(1, 1.0), Error);
  EXPECT_THROW(proposer->Restore(0, *candidate), Error);
  proposer->Tell(0, 1.0);
  EXPECT_THROW(proposer->Tell(0, 1.0), Error);
}

INSTANTIATE_TEST_SUITE_P(Proposers, AnyProposer, ::testing::ValuesIn(ProposerNames()),
                         [](const auto& param) { return param.param; });

std::vector<double> ValuesOf(const std::string& name, SyntheticSource& source, uint64_t seed,
                             int trials, std::vector<Candidate>* asked = nullptr) {
  const auto proposer =
      MakeProposer(name, source, {.dimensions = source.dimensions(), .seed = seed});
  std::vector<double> values;
  for (int64_t trial = 0; trial < trials; ++trial) {
    const std::optional<Candidate> candidate = proposer->Ask(trial);
    values.push_back(source.Value(*candidate));
    proposer->Tell(trial, values.back());
    if (asked != nullptr) asked->push_back(*candidate);
  }
  return values;
}

TEST(Evolution, LaterGenerationsAreBetterThanChance) {
  SyntheticSource source(10, 5, 2);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const std::vector<double> evolved = ValuesOf("evolution", source, seed, 300);
    const std::vector<double> random = ValuesOf("random", source, seed, 300);
    const auto mean_of_last = [](const std::vector<double>& values) {
      return std::accumulate(values.end() - 100, values.end(), 0.0) / 100;
    };
    EXPECT_LT(mean_of_last(evolved), mean_of_last(random) - 0.3) << seed;
    EXPECT_LT(std::ranges::min(evolved), std::ranges::min(random)) << seed;
  }
}

// How far the choices of all genes are from being equally frequent.
TEST(Sobol, UsesChoicesMoreEvenlyThanChance) {
  SyntheticSource source(6, 4, 1);
  const auto unevenness = [&](const std::string& name, uint64_t seed) {
    std::vector<Candidate> asked;
    ValuesOf(name, source, seed, 64, &asked);
    double sum = 0;
    for (size_t gene = 0; gene < source.dimensions().size(); ++gene) {
      for (const int choice : source.dimensions()[gene].choices) {
        const auto count = std::ranges::count_if(
            asked, [&](const Candidate& c) { return c.encoding[gene] == choice; });
        sum += std::abs(static_cast<double>(count) - 16);
      }
    }
    return sum;
  };
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    EXPECT_LT(unevenness("sobol", seed), 0.7 * unevenness("random", seed)) << seed;
  }
}

}  // namespace
}  // namespace lathe::search
