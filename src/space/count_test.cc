#include "space/count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "space/gpunet_testing.h"
#include "space/random_space_testing.h"

namespace lathe::space {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kUs = 1000000;  // picoseconds

LayerLatency Steps(double step) {
  return [step](const net::Layer& layer) { return MadeUpLatency(layer, step); };
}

std::vector<Cost> AllCosts(const CostTables& tables) {
  std::vector<Cost> costs;
  for (const Encoding& encoding : AllEncodings(tables.space()))
    costs.push_back(tables.Of(encoding));
  return costs;
}

// Edges at quantiles of the latencies, all different, above 0.
std::vector<int64_t> EdgesFor(const std::vector<Cost>& costs) {
  std::vector<int64_t> latencies;
  for (const Cost& cost : costs) latencies.push_back(cost.latency_ps);
  std::ranges::sort(latencies);
  std::vector<int64_t> edges;
  for (const double share : {0.01, 0.1, 0.35, 0.5, 0.9}) {
    const auto at = static_cast<size_t>(share * static_cast<double>(latencies.size()));
    if (edges.empty() || latencies[at] > edges.back()) edges.push_back(latencies[at]);
  }
  return edges;
}

std::vector<uint64_t> BruteForce(const std::vector<Cost>& costs, const CountOptions& options) {
  std::vector<uint64_t> counts(options.edges_ps.size() + 1, 0);
  for (const Cost& cost : costs) {
    if (!options.limits.Hold(cost)) continue;
    ++counts[static_cast<size_t>(std::ranges::upper_bound(options.edges_ps, cost.latency_ps) -
                                 options.edges_ps.begin())];
  }
  return counts;
}

TEST(CountSubspaces, EqualsBruteForceWhereLatenciesAreWholeBins) {
  for (uint64_t seed = 0; seed < 80; ++seed) {
    const SearchSpace space = RandomSpace(seed);
    const CostTables tables(space, Steps(1.0), {.overhead_us = 3});
    const std::vector<Cost> costs = AllCosts(tables);
    for (const double enumerate_up_to : {0.0, 1e9}) {
      const CountOptions options{.edges_ps = EdgesFor(costs),
                                 .limits = {},
                                 .resolution_ps = kUs,
                                 .enumerate_up_to = enumerate_up_to};
      const SubspaceCounts counts = CountSubspaces(tables, options);
      const std::vector<uint64_t> expected = BruteForce(costs, options);
      EXPECT_EQ(counts.networks.Text(), std::to_string(costs.size()));
      EXPECT_EQ(counts.enumerated, enumerate_up_to > 0);
      EXPECT_EQ(counts.error_low_us, 0);
      EXPECT_EQ(counts.error_high_us, 0);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(counts.buckets[i].count.Text(), std::to_string(expected[i]))
            << "bucket " << i << "\n"
            << RandomSpaceText(seed, 20000);
        EXPECT_EQ(counts.buckets[i].low.Text(), std::to_string(expected[i]));
        EXPECT_EQ(counts.buckets[i].high.Text(), std::to_string(expected[i]));
      }
    }
  }
}

TEST(CountSubspaces, BoundsHoldWhereLatenciesAreRounded) {
  for (uint64_t seed = 200; seed < 240; ++seed) {
    const SearchSpace space = RandomSpace(seed);
    const CostTables tables(space, Steps(0.377), {});
    const std::vector<Cost> costs = AllCosts(tables);
    const CountOptions options{
        .edges_ps = EdgesFor(costs), .limits = {}, .resolution_ps = kUs, .enumerate_up_to = 0};
    const SubspaceCounts counts = CountSubspaces(tables, options);
    const std::vector<uint64_t> expected = BruteForce(costs, options);
    EXPECT_LE(counts.error_low_us, counts.error_high_us);
    EXPECT_LE(counts.error_rms_us, std::max(-counts.error_low_us, counts.error_high_us) + 1e-9);
    uint64_t sum = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LE(*counts.buckets[i].low.exact, expected[i]);
      EXPECT_GE(*counts.buckets[i].high.exact, expected[i]);
      sum += static_cast<uint64_t>(*counts.buckets[i].count.exact);
    }
    EXPECT_EQ(sum, costs.size());
  }
}

TEST(CountSubspaces, LimitsHoldTogetherAndAlone) {
  for (uint64_t seed = 300; seed < 330; ++seed) {
    const SearchSpace space = RandomSpace(seed);
    const CostTables tables(space, Steps(1.0), {});
    const std::vector<Cost> costs = AllCosts(tables);
    Random random(seed);
    const Cost& typical = costs[random.Below(costs.size())];
    for (const Limits& limits : {Limits{typical.params, {}}, Limits{{}, typical.macs},
                                 Limits{typical.params, typical.macs}}) {
      CountOptions options{
          .edges_ps = EdgesFor(costs), .limits = limits, .memory_bytes = size_t{16} << 20};
      const std::vector<uint64_t> expected = BruteForce(costs, options);
      const SubspaceCounts all = CountSubspaces(tables, options);
      options.enumerate_up_to = 0;
      const SubspaceCounts counts = CountSubspaces(tables, options);
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(*all.buckets[i].count.exact, expected[i]);
        EXPECT_LE(*counts.buckets[i].low.exact, expected[i]);
        EXPECT_GE(*counts.buckets[i].high.exact, expected[i]);
      }
    }
  }
}

// Rounding two or three costs at once still counts nearly right.
TEST(CountSubspaces, LimitsCountCloseToTheTruth) {
  const CostTables tables(RandomSpace(11, 1e6), Steps(0.377), {});
  const std::vector<Cost> costs = AllCosts(tables);
  ASSERT_GT(costs.size(), 50000u);
  std::vector<int64_t> params, macs, latencies;
  for (const Cost& cost : costs) {
    params.push_back(cost.params);
    macs.push_back(cost.macs);
    latencies.push_back(cost.latency_ps);
  }
  for (auto* values : {&params, &macs, &latencies}) std::ranges::sort(*values);
  const size_t at = costs.size() * 7 / 10;
  for (const Limits& limits : {Limits{params[at], {}}, Limits{params[at], macs[at]}}) {
    CountOptions options{.edges_ps = {latencies[at]}, .limits = limits, .enumerate_up_to = 0};
    const SubspaceCounts counts = CountSubspaces(tables, options);
    const auto expected = static_cast<double>(BruteForce(costs, options)[0]);
    EXPECT_NEAR(counts.buckets[0].count.approx / expected, 1, 0.02);
  }
}

// The counts of a million networks by the two independent ways.
TEST(CountSubspaces, AMillionNetworksBucketForBucket) {
  const SearchSpace space = SearchSpace::Load(std::filesystem::path(LATHE_SOURCE_DIR) /
                                              "configs/spaces/small-images.toml")
                                .Restrict({{"resolution", {28}},
                                           {"stage1.activation", {1}},
                                           {"stage2.filters", {16}},
                                           {"stage2.expansion", {2}},
                                           {"stage3.activation", {3}},
                                           {"stage4.filters", {48, 64}},
                                           {"stage4.activation", {3}},
                                           {"stage4.kernel", {3}},
                                           {"stage6.filters", {96}},
                                           {"stage6.activation", {3}},
                                           {"stage6.se", {0}},
                                           {"stage7.filters", {128}},
                                           {"stage7.activation", {3}},
                                           {"stage5.filters", {64}},
                                           {"stage5.activation", {3}},
                                           {"stage5.kernel", {3}}});
  const CostTables tables(space, Steps(1.0), {.params_and_macs = false});
  CountOptions options{.edges_ps = {}, .limits = {}, .resolution_ps = kUs};
  for (int64_t us = 80; us < 400; us += 20) options.edges_ps.push_back(us * kUs);
  const SubspaceCounts one_by_one = CountSubspaces(tables, options);
  options.enumerate_up_to = 0;
  const SubspaceCounts counts = CountSubspaces(tables, options);
  ASSERT_TRUE(one_by_one.enumerated);
  ASSERT_FALSE(counts.enumerated);
  EXPECT_GT(counts.networks.approx, 1e6);
  EXPECT_EQ(counts.networks.Text(), one_by_one.networks.Text());
  for (size_t i = 0; i < counts.buckets.size(); ++i) {
    EXPECT_EQ(counts.buckets[i].count.Text(), one_by_one.buckets[i].count.Text());
  }
}

TEST(CountSubspaces, TheGpunetSpaceHasItsKnownNumberOfNetworks) {
  const SearchSpace space = Gpunet();
  const CostTables tables(space, Steps(2.0), {.params_and_macs = false, .threads = 2});
  // By hand from Table 1: ten resolutions, and the choices of each stage.
  Uint128 expected = 10 * 2 * (2 * 2 * 4);
  for (const int64_t stage :
       {4 * 40 * 8, 5 * 40 * 8, 7 * 40 * 10, 8 * 40 * 15 + 1, 10 * 40 * 15, 10 * 40 * 15 + 1}) {
    expected *= static_cast<Uint128>(stage);
  }
  const SubspaceCounts counts = CountSubspaces(
      tables, {.edges_ps = {500 * kUs, 1000 * kUs}, .limits = {}, .resolution_ps = 2 * kUs});
  ASSERT_TRUE(counts.networks.exact);
  EXPECT_TRUE(*counts.networks.exact == expected) << counts.networks.Text();
  EXPECT_EQ(counts.networks.Text(), "317208301928448000000000");
  Uint128 sum = 0;
  for (const auto& bucket : counts.buckets) sum += *bucket.count.exact;
  EXPECT_TRUE(sum == expected);
}

TEST(CountSubspaces, RefusesWhatItCannotCount) {
  const CostTables tables(RandomSpace(5), Steps(1.0), {});
  EXPECT_THROW(CountSubspaces(tables, {.edges_ps = {}, .limits = {}}), Error);
  EXPECT_THROW(CountSubspaces(tables, {.edges_ps = {kUs, kUs}, .limits = {}}), Error);
  EXPECT_THROW(CountSubspaces(tables, {.edges_ps = {-kUs}, .limits = {}}), Error);
  try {
    CountSubspaces(tables, {.edges_ps = {1000 * kUs},
                            .limits = {},
                            .resolution_ps = 1,
                            .enumerate_up_to = 0,
                            .memory_bytes = 1 << 20});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("coarser"));
  }
}

TEST(RangeOf, HoldsTheCheapestAndTheDearestNetwork) {
  for (uint64_t seed = 400; seed < 420; ++seed) {
    const CostTables tables(RandomSpace(seed), Steps(1.3), {});
    const std::vector<Cost> costs = AllCosts(tables);
    const CostRange range = RangeOf(tables);
    for (const auto part : {&Cost::latency_ps, &Cost::params, &Cost::macs}) {
      EXPECT_EQ(range.least.*part, std::ranges::min(costs, {}, part).*part);
      EXPECT_EQ(range.greatest.*part, std::ranges::max(costs, {}, part).*part);
    }
  }
}

// Pearson's chi-square over the networks of the sub-space; its 99.99 % point by Wilson and
// Hilferty.
TEST(SubspaceSampler, DrawsEveryNetworkOfTheSubspaceEquallyOften) {
  for (uint64_t seed = 500; seed < 512; ++seed) {
    const CostTables tables(RandomSpace(seed, 3000), Steps(0.377), {});
    const std::vector<Cost> costs = AllCosts(tables);
    const std::vector<int64_t> edges = EdgesFor(costs);
    SubspaceOptions options{.low_ps = edges.front(),
                            .high_ps = edges.back(),
                            .limits = {},
                            .memory_bytes = size_t{16} << 20};
    if (seed % 2 == 0) options.resolution_ps = 2 * kUs;  // many rounded ones lie outside
    if (seed % 3 == 0) options.limits.params = costs[costs.size() / 2].params;
    std::map<Encoding, int> seen;
    for (const Encoding& encoding : AllEncodings(tables.space())) {
      const Cost cost = tables.Of(encoding);
      const bool inside = cost.latency_ps >= options.low_ps && cost.latency_ps <= options.high_ps;
      if (inside && options.limits.Hold(cost)) seen[encoding] = 0;
    }
    if (seen.size() < 2) continue;
    const SubspaceSampler sampler(tables, options);
    Random random(seed);
    const size_t count = 40 * seen.size();
    const Draws draws = sampler.Draw(count, random);
    ASSERT_EQ(draws.size(), count);
    for (size_t i = 0; i < draws.size(); ++i) {
      const Encoding encoding(draws[i].begin(), draws[i].end());
      const auto found = seen.find(encoding);
      ASSERT_NE(found, seen.end()) << "outside the sub-space, or not canonical";
      ++found->second;
      ASSERT_EQ(draws.costs[i], tables.Of(encoding));
    }
    double chi_square = 0;
    for (const auto& [encoding, times] : seen) chi_square += (times - 40.0) * (times - 40.0) / 40;
    const double freedom = static_cast<double>(seen.size()) - 1;
    const double z =
        (std::cbrt(chi_square / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
    EXPECT_LT(z, 3.72) << seen.size() << " networks";
    EXPECT_GT(z, -3.72) << "too even";
  }
}

TEST(SubspaceSampler, FewAndManyDrawsTakeTheSameWays) {
  const SearchSpace space = Gpunet().Restrict({{"resolution", {224, 256}}});
  const CostTables tables(space, Steps(5.0), {.params_and_macs = false, .threads = 2});
  const SubspaceSampler sampler(
      tables, {.low_ps = 900 * kUs, .high_ps = 1000 * kUs, .limits = {}, .resolution_ps = kUs});
  Random few(3), many(3);
  const Draws one = sampler.Draw(1, few);
  const Draws thousand = sampler.Draw(20000, many);
  EXPECT_TRUE(std::ranges::equal(one[0], thousand[0]));
  for (const Cost& cost : thousand.costs) {
    ASSERT_GE(cost.latency_ps, 900 * kUs);
    ASSERT_LE(cost.latency_ps, 1000 * kUs);
  }
}

TEST(SubspaceSampler, SaysThatASubspaceIsEmpty) {
  const CostTables tables(RandomSpace(5), Steps(1.0), {});
  const CostRange range = RangeOf(tables);
  try {
    const SubspaceSampler sampler(
        tables, {.low_ps = 1, .high_ps = range.least.latency_ps / 2, .limits = {}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kTargetNotReached);
    EXPECT_THAT(error.what(), HasSubstr("no network"));
  }
  EXPECT_THROW(SubspaceSampler(tables, {.low_ps = 2, .high_ps = 1, .limits = {}}), Error);
}

}  // namespace
}  // namespace lathe::space
