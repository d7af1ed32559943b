#include "space/subspace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"

namespace lathe::space {
namespace {

using ::testing::ElementsAre;

SearchSpace Gpunet() {
  return SearchSpace::Load(std::filesystem::path(LATHE_SOURCE_DIR) / "configs/spaces/gpunet.toml");
}

SearchSpace Tiny() {
  return SearchSpace::Parse(R"(
format = "lathe-space"
version = 1
resolution = [32, 64]
[tail]
width = 8
[[stage]]
op = "conv"
stride = 2
filters = [8, 16, 24]
kernel = [3, 5]
activation = ["relu", "swish"]
layers = {from = 1, to = 3}
)",
                            "tiny.toml");
}

double FakeLatency(const Encoding& encoding) {
  double sum = 0;
  for (size_t i = 0; i < encoding.size(); ++i)
    sum += encoding[i] * (1.0 + 0.1 * static_cast<double>(i));
  return sum;
}

// The first ten points in three dimensions as Joe and Kuo print them on their page and as SciPy's
// qmc.Sobol gives them.
TEST(SobolSource, GivesJoeAndKuosPoints) {
  const std::vector<std::vector<double>> expected = {{0, 0, 0},
                                                     {0.5, 0.5, 0.5},
                                                     {0.75, 0.25, 0.25},
                                                     {0.25, 0.75, 0.75},
                                                     {0.375, 0.375, 0.625},
                                                     {0.875, 0.875, 0.125},
                                                     {0.625, 0.125, 0.875},
                                                     {0.125, 0.625, 0.375},
                                                     {0.1875, 0.3125, 0.9375},
                                                     {0.6875, 0.8125, 0.4375}};
  SobolSource source(Gpunet(), 0);
  for (const std::vector<double>& point : expected) {
    const std::vector<double>& actual = source.NextPoint();
    ASSERT_EQ(actual.size(), 41u);
    EXPECT_EQ(std::vector<double>(actual.begin(), actual.begin() + 3), point);
  }
}

TEST(SobolSource, PowersOfTwoAreBalancedInEveryGene) {
  for (uint64_t seed : {0, 7}) {
    SobolSource source(Gpunet(), seed);
    std::vector<std::vector<int>> cells(41, std::vector<int>(256, 0));
    for (int i = 0; i < 256; ++i) {
      const std::vector<double>& point = source.NextPoint();
      for (size_t d = 0; d < point.size(); ++d) ++cells[d][static_cast<size_t>(point[d] * 256)];
    }
    for (const std::vector<int>& dimension : cells) {
      EXPECT_THAT(dimension, ::testing::Each(1)) << "seed " << seed;
    }
  }
}

TEST(SobolSource, SeedsShiftThePoints) {
  SobolSource plain(Gpunet(), 0), one(Gpunet(), 1), again(Gpunet(), 1), two(Gpunet(), 2);
  const std::vector<double> first = one.NextPoint();
  EXPECT_EQ(first, again.NextPoint());
  EXPECT_NE(first, plain.NextPoint());
  EXPECT_NE(first, two.NextPoint());
  for (double value : first) EXPECT_TRUE(value >= 0 && value < 1);
}

TEST(SobolSource, SkipIsTheSameAsReading) {
  for (uint64_t skipped : {0, 1, 2, 5, 1000}) {
    for (int read : {0, 1, 3}) {
      SobolSource reader(Gpunet(), 3), skipper(Gpunet(), 3);
      for (int i = 0; i < read; ++i) {
        reader.NextPoint();
        skipper.NextPoint();
      }
      for (uint64_t i = 0; i < skipped; ++i) reader.NextPoint();
      skipper.Skip(skipped);
      EXPECT_EQ(reader.Next(), skipper.Next()) << read << " read, " << skipped << " skipped";
      EXPECT_EQ(reader.Next(), skipper.Next());
    }
  }
}

TEST(SobolSource, SpacesWithoutGenesHaveOneCandidate) {
  const SearchSpace fixed = SearchSpace::Parse(R"(
format = "lathe-space"
version = 1
resolution = 32
[tail]
width = 8
[[stage]]
op = "conv"
stride = 2
filters = 8
kernel = 3
activation = "relu"
layers = 1
)",
                                               "fixed.toml");
  EXPECT_EQ(fixed.size_log10(), 0);
  const Stage1 stage1 = Categorise(fixed, FakeLatency, {.points = 4, .edges_us = {}});
  EXPECT_EQ(stage1.candidates.size(), 1u);
}

TEST(Categorise, IsTheSameForAnyNumberOfThreads) {
  const SearchSpace space = Gpunet();
  Stage1Options options = {.points = 5000, .seed = 5, .edges_us = {2000, 2500, 3000}};
  const Stage1 one = Categorise(space, FakeLatency, options);
  for (int threads : {2, 3, 8}) {
    options.threads = threads;
    const Stage1 many = Categorise(space, FakeLatency, options);
    ASSERT_EQ(many.candidates.size(), one.candidates.size());
    for (size_t i = 0; i < one.candidates.size(); ++i) {
      ASSERT_EQ(many.candidates[i].encoding, one.candidates[i].encoding);
      ASSERT_EQ(many.candidates[i].latency_us, one.candidates[i].latency_us);
    }
    EXPECT_EQ(many.bucket_counts, one.bucket_counts);
  }
  SobolSource source(space, 5);
  EXPECT_EQ(one.candidates[0].encoding, source.Next());
  EXPECT_EQ(one.candidates[1].encoding, source.Next());
}

TEST(Categorise, KeepsDistinctCandidatesInSobolOrder) {
  const SearchSpace space = Tiny();
  const Stage1 stage1 = Categorise(space, FakeLatency, {.points = 4096, .edges_us = {60}});
  EXPECT_EQ(stage1.candidates.size(), 72u);  // the whole space: 2 * 3 * 2 * 2 * 3
  SobolSource source(space, 0);
  std::set<Encoding> seen;
  std::vector<Encoding> order;
  for (int i = 0; i < 4096; ++i) {
    const Encoding encoding = source.Next();
    if (seen.insert(encoding).second) order.push_back(encoding);
  }
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(stage1.candidates[i].encoding, order[i]);
  EXPECT_EQ(stage1.bucket_counts[0] + stage1.bucket_counts[1], 72);
}

TEST(Categorise, BucketsIncludeTheirLowerEdge) {
  Stage1 stage1;
  stage1.edges_us = {100, 200};
  EXPECT_EQ(stage1.BucketOf(99.9), 0);
  EXPECT_EQ(stage1.BucketOf(100), 1);
  EXPECT_EQ(stage1.BucketOf(199), 1);
  EXPECT_EQ(stage1.BucketOf(200), 2);
  EXPECT_EQ(stage1.BucketOf(1e9), 2);
}

TEST(Categorise, RefusesBadOptions) {
  const SearchSpace space = Tiny();
  EXPECT_THROW(Categorise(space, FakeLatency, {.points = 0, .edges_us = {}}), Error);
  EXPECT_THROW(Categorise(space, FakeLatency, {.edges_us = {}, .threads = 0}), Error);
  EXPECT_THROW(Categorise(space, FakeLatency, {.edges_us = {2, 2}}), Error);
  EXPECT_THROW(Categorise(space, FakeLatency, {.edges_us = {2, NAN}}), Error);
}

TEST(Categorise, ReportsTheFirstFailureWhateverTheThreads) {
  const SearchSpace space = Gpunet();
  Stage1Options options = {.points = 8192, .edges_us = {}};
  const Stage1 good = Categorise(space, FakeLatency, options);
  const Encoding first = good.candidates[1500].encoding, later = good.candidates[2100].encoding;
  // Both blocks are under way before the first one fails, and the later one fails last.
  const LatencyFunction failing = [&](const Encoding& encoding) {
    if (encoding == first) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (encoding == later) std::this_thread::sleep_for(std::chrono::milliseconds(80));
    return encoding == first || encoding == later ? NAN : 1.0;
  };
  for (int threads : {1, 2, 4}) {
    options.threads = threads;
    try {
      Categorise(space, failing, options);
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(fmt::format("{}", fmt::join(first, ","))));
    }
  }
}

TEST(WriteCsv, HasOneLinePerCandidate) {
  const SearchSpace space = Tiny();
  Stage1 stage1;
  stage1.edges_us = {10};
  stage1.candidates = {{{32, 8, 3, 1, 1}, 9.25}, {{64, 24, 5, 3, 3}, 10}};
  const auto path = std::filesystem::path(::testing::TempDir()) / "subspace.csv";
  WriteCsv(path, space, stage1);
  EXPECT_EQ(
      ReadFile(path),
      "resolution,stage0.filters,stage0.kernel,stage0.activation,stage0.layers,latency_us,bucket\n"
      "32,8,3,1,1,9.25,0\n"
      "64,24,5,3,3,10,1\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lathe::space
