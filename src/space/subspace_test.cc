#include "space/subspace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "space/gpunet_testing.h"
#include "space/random_space_testing.h"

namespace lathe::space {
namespace {

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

CostTables TablesOf(const SearchSpace& space) {
  return CostTables(space, UnevenLatency, {.params_and_macs = false, .threads = 2});
}

std::vector<Encoding> FirstSobol(const CostTables& tables, size_t count) {
  const SobolCandidates sobol(tables, Scramble::kOwen, 5);
  SobolCandidates::Block block;
  std::vector<Encoding> encodings;
  for (size_t i = 0; i < count; ++i) {
    if (i % SobolCandidates::kBlock == 0) sobol.Evaluate(i / SobolCandidates::kBlock, block);
    encodings.push_back(sobol.EncodingOf(block, i % SobolCandidates::kBlock));
  }
  return encodings;
}

TEST(Categorise, SpacesWithoutGenesHaveOneCandidate) {
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
  const Stage1 stage1 = Categorise(TablesOf(fixed), {.points = 4, .edges_us = {}});
  EXPECT_EQ(stage1.candidates.size(), 1u);
}

TEST(Categorise, IsTheSameForAnyNumberOfThreads) {
  const CostTables tables = TablesOf(Gpunet().Restrict({{"resolution", {224}}}));
  Stage1Options options = {.points = 5000, .seed = 5, .edges_us = {1200, 1400}};
  const Stage1 one = Categorise(tables, options);
  for (int threads : {2, 3, 8}) {
    options.threads = threads;
    const Stage1 many = Categorise(tables, options);
    ASSERT_EQ(many.candidates.size(), one.candidates.size());
    for (size_t i = 0; i < one.candidates.size(); ++i) {
      ASSERT_EQ(many.candidates[i].encoding, one.candidates[i].encoding);
      ASSERT_EQ(many.candidates[i].latency_us, one.candidates[i].latency_us);
    }
    EXPECT_EQ(many.bucket_counts, one.bucket_counts);
  }
  const std::vector<Encoding> order = FirstSobol(tables, 600);
  for (size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(one.candidates[i].encoding, order[i]);
    EXPECT_EQ(one.candidates[i].latency_us,
              static_cast<double>(tables.Of(order[i]).latency_ps) / kPsPerUs);
  }
}

TEST(Categorise, KeepsDistinctCandidatesInSobolOrder) {
  const CostTables tables = TablesOf(Tiny());
  const Stage1 stage1 = Categorise(tables, {.points = 4096, .seed = 5, .edges_us = {60}});
  EXPECT_EQ(stage1.candidates.size(), 72u);  // the whole space: 2 * 3 * 2 * 2 * 3
  std::set<Encoding> seen;
  std::vector<Encoding> order;
  for (const Encoding& encoding : FirstSobol(tables, 4096)) {
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
  const CostTables tables = TablesOf(Tiny());
  EXPECT_THROW(Categorise(tables, {.points = 0, .edges_us = {}}), Error);
  EXPECT_THROW(Categorise(tables, {.edges_us = {}, .threads = 0}), Error);
  EXPECT_THROW(Categorise(tables, {.edges_us = {2, 2}}), Error);
  EXPECT_THROW(Categorise(tables, {.edges_us = {2, NAN}}), Error);
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

class StreamCandidatesTest : public ::testing::Test {
 protected:
  StreamOptions options_{.points = 5000};
  const CostTables tables_ = TablesOf(Tiny());
  const SobolCandidates sobol_{tables_, Scramble::kOwen, 5};
  const TempFolder folder_;
};

TEST_F(StreamCandidatesTest, WritesEveryPointAsALine) {
  const auto path = folder_.path() / "all.csv";
  EXPECT_EQ(StreamCandidates(path, sobol_, options_), 5000u);
  const std::string text = ReadFile(path);
  std::string expected =
      "resolution,stage0.filters,stage0.kernel,stage0.activation,stage0.layers,latency_us\n";
  for (const Encoding& encoding : FirstSobol(tables_, 5000)) {
    expected += fmt::format("{},{}\n", fmt::join(encoding, ","),
                            static_cast<double>(tables_.Of(encoding).latency_ps) / kPsPerUs);
  }
  EXPECT_EQ(text, expected);
  options_.threads = 3;
  const auto again = folder_.path() / "again.csv";
  StreamCandidates(again, sobol_, options_);
  EXPECT_EQ(ReadFile(again), text);
}

TEST_F(StreamCandidatesTest, KeepsAnIntervalAndStops) {
  const int64_t middle = tables_.Of(FirstSobol(tables_, 1)[0]).latency_ps;
  options_.low_ps = middle;
  options_.high_ps = middle;
  const auto path = folder_.path() / "some.csv";
  EXPECT_GT(StreamCandidates(path, sobol_, options_), 7u);
  options_.most = 7;
  EXPECT_EQ(StreamCandidates(path, sobol_, options_), 7u);
  const std::string text = ReadFile(path);
  EXPECT_EQ(std::ranges::count(text, '\n'), 8);
}

TEST_F(StreamCandidatesTest, BinaryRecordsHoldIndicesAndLatency) {
  options_.format = CandidateFormat::kBinary;
  const auto path = folder_.path() / "all.bin";
  StreamCandidates(path, sobol_, options_);
  const std::string text = ReadFile(path);
  const size_t header = text.find('\n') + 1;
  EXPECT_THAT(text.substr(0, header), ::testing::HasSubstr("\"lathe-candidates\""));
  ASSERT_EQ(text.size(), header + 5000 * (5 + 4));
  const std::vector<Encoding> order = FirstSobol(tables_, 5000);
  for (size_t i : {size_t{0}, size_t{4999}}) {
    const size_t at = header + i * 9;
    for (size_t g = 0; g < 5; ++g) {
      const auto index = static_cast<size_t>(static_cast<unsigned char>(text[at + g]));
      EXPECT_EQ(tables_.space().genes()[g].choices[index], order[i][g]);
    }
    float latency_us = 0;
    std::memcpy(&latency_us, text.data() + at + 5, 4);
    EXPECT_FLOAT_EQ(latency_us, static_cast<float>(tables_.Of(order[i]).latency_ps / kPsPerUs));
  }
}

}  // namespace
}  // namespace lathe::space
