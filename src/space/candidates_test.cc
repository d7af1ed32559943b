#include "space/candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "space/count.h"
#include "space/random_space_testing.h"

namespace lathe::space {
namespace {

constexpr size_t kBlock = SobolCandidates::kBlock;

TEST(SobolCandidates, CostWhatTheirNetworksCost) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const CostTables tables(RandomSpace(seed), UnevenLatency, {.overhead_us = 2});
    const SobolCandidates candidates(tables, Scramble::kOwen, seed);
    SobolCandidates::Block block;
    for (const uint64_t b : {0, 3}) {
      candidates.Evaluate(b, block);
      for (size_t i = 0; i < kBlock; ++i) {
        const Encoding encoding = candidates.EncodingOf(block, i);
        ASSERT_EQ(tables.space().Canonical(encoding), encoding);
        ASSERT_EQ(block.latency_ps[i], tables.Of(encoding).latency_ps)
            << RandomSpaceText(seed, 20000);
      }
    }
  }
}

TEST(SobolCandidates, LayersMayBeUnevenlySpaced) {
  const SearchSpace space = SearchSpace::Parse(R"(
format = "lathe-space"
version = 1
resolution = 32
[tail]
width = 8
[[stage]]
op = "conv"
stride = 2
filters = [8, 16]
kernel = 3
activation = "relu"
layers = [1, 2, 4, 7, 8]
)",
                                               "uneven.toml");
  const CostTables tables(space, UnevenLatency, {});
  const SobolCandidates candidates(tables, Scramble::kOwen, 1);
  SobolCandidates::Block block;
  candidates.Evaluate(0, block);
  for (size_t i = 0; i < kBlock; ++i) {
    ASSERT_EQ(block.latency_ps[i], tables.Of(candidates.EncodingOf(block, i)).latency_ps);
  }
}

TEST(SobolCandidates, EveryChoiceStandsForAnEqualPartOfItsCoordinate) {
  const CostTables tables(RandomSpace(1), UnevenLatency, {});
  const SobolCandidates candidates(tables, Scramble::kNone, 0);
  const SobolSequence sequence(tables.space().genes().size(), Scramble::kNone, 0);
  SobolCandidates::Block block;
  candidates.Evaluate(1, block);
  std::vector<uint32_t> coordinates(kBlock);
  for (size_t g = 0; g < tables.space().genes().size(); ++g) {
    sequence.Block(1, g, coordinates.data());
    const auto count = static_cast<double>(tables.space().genes()[g].choices.size());
    for (size_t i = 0; i < kBlock; ++i) {
      EXPECT_EQ(block.choices[g * kBlock + i], static_cast<int>(coordinates[i] * 0x1p-32 * count));
    }
  }
}

TEST(SobolCandidates, CountIsThatOfTheSingleCandidatesForAnyNumberOfThreads) {
  const CostTables tables(RandomSpace(11), UnevenLatency, {});
  const SobolCandidates candidates(tables, Scramble::kShift, 5);
  const CostRange range = RangeOf(tables);
  const int64_t middle = (range.least.latency_ps + range.greatest.latency_ps) / 2;
  const std::vector<int64_t> edges = {range.least.latency_ps + 1, middle};
  for (const uint64_t points : {uint64_t{1}, uint64_t{kBlock}, uint64_t{100003}}) {
    std::vector<int64_t> expected(3, 0);
    std::vector<double> weights(3, 0);
    SobolCandidates::Block block;
    for (uint64_t p = 0; p < points; ++p) {
      if (p % kBlock == 0) candidates.Evaluate(p / kBlock, block);
      const auto latency = block.latency_ps[p % kBlock];
      const size_t bucket = latency < edges[0] ? 0 : latency < edges[1] ? 1 : 2;
      ++expected[bucket];
      weights[bucket] += block.weight[p % kBlock];
    }
    const auto one = candidates.Count(points, edges, 1), three = candidates.Count(points, edges, 3);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(one[i].points, expected[i]);
      EXPECT_EQ(three[i].points, expected[i]);
      EXPECT_NEAR(one[i].weight, weights[i], 1e-6);
      EXPECT_EQ(one[i].weight, three[i].weight);
    }
  }
  EXPECT_THROW(candidates.Count(uint64_t{1} << 33, edges, 1), Error);
}

// Sobol points find the share of a sub-space that the exact count gives.
TEST(SobolCandidates, AgreeWithTheExactCount) {
  const SearchSpace space = SearchSpace::Load(std::filesystem::path(LATHE_SOURCE_DIR) /
                                              "configs/spaces/small-images.toml")
                                .Restrict({{"resolution", {28, 32}}});
  const CostTables tables(space, UnevenLatency, {.params_and_macs = false});
  const std::vector<int64_t> edges = {220000000, 260000000, 300000000};
  const SubspaceCounts exact = CountSubspaces(tables, {.edges_ps = edges, .limits = {}});
  constexpr uint64_t kPoints = 1 << 18;
  const SobolCandidates candidates(tables, Scramble::kOwen, 2);
  const auto sampled = candidates.Count(kPoints, edges, 2);
  for (size_t i = 0; i < sampled.size(); ++i) {
    const double estimate = sampled[i].weight * candidates.NetworksPerWeight(kPoints);
    EXPECT_NEAR(estimate / exact.buckets[i].count.approx, 1, 0.05) << i;
    EXPECT_GT(exact.buckets[i].count.approx, 0.01 * exact.networks.approx) << "no test";
  }
}

}  // namespace
}  // namespace lathe::space
