#include "space/cost_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "space/gpunet_testing.h"
#include "space/random_space_testing.h"

namespace lathe::space {
namespace {

TEST(CostTables, SumsAreThoseOfTheLayersInRandomSpaces) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const SearchSpace space = RandomSpace(seed, 2000);
    const CostTables tables(space, UnevenLatency, {});
    for (const Encoding& encoding : AllEncodings(space)) {
      ASSERT_EQ(tables.Of(encoding), WalkedCost(space.Decode(encoding, {}), UnevenLatency))
          << RandomSpaceText(seed, 2000) << fmt::format("{}", fmt::join(encoding, ","));
    }
  }
}

TEST(CostTables, SumsAreThoseOfTheLayersInTheGpunetSpace) {
  const SearchSpace space = Gpunet().Restrict({{"resolution", {224, 288}}});
  const CostTables tables(space, UnevenLatency,
                          {.head = {.channels = 1, .classes = 10}, .threads = 2});
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const Encoding encoding = space.Sample(random);
    ASSERT_EQ(tables.Of(encoding),
              WalkedCost(space.Decode(encoding, {.channels = 1, .classes = 10}), UnevenLatency));
  }
}

TEST(CostTables, AddsTheOverheadOnce) {
  const SearchSpace space = RandomSpace(3);
  const Encoding first = AllEncodings(space).front();
  const CostTables plain(space, UnevenLatency, {}),
      more(space, UnevenLatency, {.overhead_us = 12.5});
  EXPECT_EQ(more.Of(first).latency_ps, plain.Of(first).latency_ps + 12500000);
}

TEST(CostTables, PricesEachLayerOnce) {
  const SearchSpace space = Gpunet().Restrict({{"resolution", {224}}});
  const CostTables tables(space, UnevenLatency, {.params_and_macs = false});
  const auto layers = space.DistinctLayers(224, {}).size();
  EXPECT_GE(tables.layers_priced(), static_cast<int64_t>(layers));
  EXPECT_LE(tables.layers_priced(), static_cast<int64_t>(layers + layers / 4));
  EXPECT_EQ(tables
                .Of(Encoding(space.Canonical([&] {
                  Encoding e;
                  for (const Gene& gene : space.genes()) e.push_back(gene.choices.back());
                  return e;
                }())))
                .params,
            0);
}

TEST(CostTables, RefusesALatencyThatIsNone) {
  const SearchSpace space = RandomSpace(3);
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    EXPECT_THROW(CostTables(space, [&](const net::Layer&) { return bad; }, {}), Error);
  }
}

// One canonical encoding per network, so that nothing is counted or trained twice.
TEST(CostTables, NoTwoCanonicalEncodingsGiveTheSameNetwork) {
  for (uint64_t seed = 100; seed < 130; ++seed) {
    const SearchSpace space = RandomSpace(seed, 3000);
    const std::vector<Encoding> all = AllEncodings(space);
    EXPECT_NEAR(std::log10(static_cast<double>(all.size())), space.size_log10(), 1e-9);
    std::set<std::string> seen;
    for (const Encoding& encoding : all) {
      const net::Network network = space.Decode(encoding, {});
      std::string text = fmt::format("{}", network.input.h);
      for (const net::Layer& l : network.layers) {
        text +=
            fmt::format(" {}:{}:{}:{}:{}:{}:{}", static_cast<int>(l.op), l.out_channels, l.kernel,
                        l.stride, l.mid_channels, l.se_channels, static_cast<int>(l.act));
      }
      ASSERT_TRUE(seen.insert(text).second) << RandomSpaceText(seed, 3000) << text;
      ASSERT_EQ(space.Encode(network), encoding) << RandomSpaceText(seed, 3000);
    }
  }
}

}  // namespace
}  // namespace lathe::space
