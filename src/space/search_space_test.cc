#include "space/search_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/temp_folder_testing.h"

namespace lathe::space {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::filesystem::path SpaceFile(const std::string& name) {
  return std::filesystem::path(LATHE_SOURCE_DIR) / "configs/spaces" / (name + ".toml");
}

const SearchSpace& Gpunet() {
  static const SearchSpace space = SearchSpace::Load(SpaceFile("gpunet"));
  return space;
}

const SearchSpace& SmallImages() {
  static const SearchSpace space = SearchSpace::Load(SpaceFile("small-images"));
  return space;
}

std::string InputError(const auto& call) { return MessageOf(ErrorKind::kInput, call); }

// GPUNet post, Table 2.
TEST(SearchSpace, GpunetHasTheGenesOfTable2) {
  std::vector<std::string> expected = {"resolution", "stage0.filters", "stage1.kernel",
                                       "stage1.activation", "stage1.layers"};
  for (int stage = 2; stage <= 7; ++stage) {
    for (const char* kind : {"filters", "kernel", "expansion", "se", "activation", "layers"}) {
      expected.push_back(fmt::format("stage{}.{}", stage, kind));
    }
  }
  std::vector<std::string> names;
  for (const Gene& gene : Gpunet().genes()) names.push_back(gene.name);
  EXPECT_EQ(names, expected);
  EXPECT_EQ(names.size(), 41u);
}

// GPUNet post, Table 1.
TEST(SearchSpace, GpunetHasTheChoicesOfTable1) {
  const auto choices = [](std::string_view gene) {
    return Gpunet().genes()[Gpunet().GeneIndex(gene)].choices;
  };
  EXPECT_THAT(choices("resolution"), ElementsAre(224, 256, 288, 320, 352, 384, 416, 448, 480, 512));
  EXPECT_THAT(choices("stage0.filters"), ElementsAre(24, 32));
  EXPECT_THAT(choices("stage1.layers"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(choices("stage2.filters"), ElementsAre(32, 48, 64, 80));
  EXPECT_THAT(choices("stage3.filters"), ElementsAre(48, 64, 80, 96, 112));
  EXPECT_THAT(choices("stage4.filters"), ElementsAre(96, 112, 128, 144, 160, 176, 192));
  EXPECT_THAT(choices("stage6.filters"),
              ElementsAre(128, 160, 192, 224, 256, 288, 320, 352, 384, 416));
  EXPECT_THAT(choices("stage7.filters"),
              ElementsAre(256, 320, 384, 448, 512, 576, 640, 704, 768, 832));
  EXPECT_THAT(choices("stage5.kernel"), ElementsAre(3, 5));
  EXPECT_THAT(choices("stage5.expansion"), ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(choices("stage5.se"), ElementsAre(0, 1));
  EXPECT_EQ(choices("stage5.layers").size(), 16u);
  EXPECT_EQ(choices("stage5.layers").front(), 0);
  EXPECT_EQ(choices("stage6.layers").front(), 1);
  EXPECT_EQ(Gpunet().stages()[1].filters.gene, Gpunet().stages()[0].filters.gene);
  EXPECT_EQ(Gpunet().stages()[0].kernel.gene, -1);
}

TEST(SearchSpace, GpunetHasTheKnownSize) {
  EXPECT_NEAR(std::pow(10, Gpunet().size_log10() - 23), 3.17, 0.005);
  // Plain product of the numbers of choices.
  EXPECT_NEAR(std::pow(10, Gpunet().raw_size_log10() - 23), 3.6077, 0.0005);
}

TEST(SearchSpace, SizeIsTheNumberOfCanonicalEncodings) {
  const SearchSpace space = SearchSpace::Parse(R"(
format = "lathe-space"
version = 1
resolution = [32, 64]
[tail]
width = 8
[[stage]]
op = "conv"
stride = 2
filters = [8, 16]
kernel = 3
activation = "relu"
layers = 1
[[stage]]
op = "irb"
stride = 1
filters = "stage0"
kernel = [3, 5]
expansion = [2, 3]
activation = ["swish", "relu"]
layers = {from = 0, to = 2}
)",
                                               "tiny.toml");
  std::set<Encoding> seen;
  Random random(3);
  for (int i = 0; i < 4000; ++i) seen.insert(space.Sample(random));
  EXPECT_EQ(seen.size(), 2u * 2 * (1 + 2 * 8));
  EXPECT_NEAR(std::pow(10, space.size_log10()), 68, 1e-9);
  EXPECT_NEAR(std::pow(10, space.raw_size_log10()), 96, 1e-9);
}

TEST(SearchSpace, CanonicalResetsTheGenesOfEmptyStages) {
  const SearchSpace& space = SmallImages();
  Encoding encoding;
  for (const Gene& gene : space.genes()) encoding.push_back(gene.choices.back());
  const size_t layers = space.GeneIndex("stage5.layers");
  const size_t filters = space.GeneIndex("stage5.filters");
  EXPECT_TRUE(space.IsActive(encoding, filters));
  EXPECT_EQ(space.Canonical(encoding), encoding);
  encoding[layers] = 0;
  EXPECT_FALSE(space.IsActive(encoding, filters));
  EXPECT_TRUE(space.IsActive(encoding, layers));
  EXPECT_TRUE(space.IsActive(encoding, space.GeneIndex("stage4.filters")));
  const Encoding canonical = space.Canonical(encoding);
  EXPECT_EQ(canonical[filters], 64);
  EXPECT_EQ(canonical[space.GeneIndex("stage4.filters")], 96);
  EXPECT_EQ(canonical[space.GeneIndex("stage7.filters")], 256);
  EXPECT_EQ(space.Canonical(canonical), canonical);
}

TEST(SearchSpace, SampleIsUniformOverGenes) {
  const SearchSpace& space = Gpunet();
  Random random(7);
  const size_t gene = space.GeneIndex("stage3.filters");
  std::map<int, int> counts;
  for (int i = 0; i < 5000; ++i) ++counts[space.Sample(random)[gene]];
  ASSERT_EQ(counts.size(), 5u);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 120) << value;
}

TEST(SearchSpace, NeighboursDifferInOneActiveGene) {
  const SearchSpace& space = SmallImages();
  Random random(11);
  for (int i = 0; i < 50; ++i) {
    const Encoding start = space.Sample(random);
    size_t expected = 0;
    for (size_t g = 0; g < start.size(); ++g) {
      if (space.IsActive(start, g)) expected += space.genes()[g].choices.size() - 1;
    }
    const std::vector<Encoding> neighbours = space.Neighbours(start);
    EXPECT_EQ(neighbours.size(), expected);
    EXPECT_EQ(std::set<Encoding>(neighbours.begin(), neighbours.end()).size(), expected);
    for (const Encoding& neighbour : neighbours) {
      EXPECT_TRUE(space.Contains(neighbour));
      EXPECT_NE(neighbour, start);
      EXPECT_EQ(space.Canonical(neighbour), neighbour);
      // One gene that is active in `start` differs, or a stage was emptied or filled.
      int differences = 0;
      for (size_t g = 0; g < start.size(); ++g) {
        if (neighbour[g] != start[g] && space.IsActive(neighbour, g)) ++differences;
      }
      EXPECT_EQ(differences, 1);
    }
  }
}

TEST(SearchSpace, CheckNamesGeneValueAndChoices) {
  const SearchSpace& space = Gpunet();
  Random random(1);
  Encoding encoding = space.Sample(random);
  EXPECT_TRUE(space.Contains(encoding));
  encoding[space.GeneIndex("stage2.kernel")] = 4;
  EXPECT_FALSE(space.Contains(encoding));
  EXPECT_THAT(InputError([&] { space.Decode(encoding, {}); }),
              AllOf(HasSubstr("stage2.kernel"), HasSubstr("is 4"), HasSubstr("3, 5"),
                    HasSubstr("nearest: 3")));
  encoding.pop_back();
  EXPECT_FALSE(space.Contains(encoding));
  EXPECT_THAT(InputError([&] { space.Check(encoding); }), HasSubstr("41 integers, not 40"));
}

TEST(SearchSpace, ChoicesHaveNames) {
  const Gene& activation = Gpunet().genes()[Gpunet().GeneIndex("stage1.activation")];
  EXPECT_EQ(FormatChoice(activation, ParseChoice(activation, "swish")), "swish");
  EXPECT_THAT(InputError([&] { ParseChoice(activation, "swich"); }),
              AllOf(HasSubstr("stage1.activation"), HasSubstr("nearest: swish")));
  const Gene& resolution = Gpunet().genes()[0];
  EXPECT_EQ(ParseChoice(resolution, "288"), 288);
  EXPECT_THAT(InputError([&] { ParseChoice(resolution, "290"); }), HasSubstr("nearest: 288"));
}

TEST(SearchSpace, RestrictNarrowsGenesAndWhatSharesThem) {
  const SearchSpace space = Gpunet().Restrict(
      {{"resolution", {224}}, {"stage0.filters", {32}}, {"stage5.layers", {0, 2}}});
  EXPECT_EQ(space.genes().size(), 41u);
  EXPECT_THAT(space.resolution().values, ElementsAre(224));
  EXPECT_THAT(space.stages()[1].filters.values, ElementsAre(32));
  EXPECT_THAT(space.stages()[5].layers.values, ElementsAre(0, 2));
  EXPECT_NEAR(Gpunet().size_log10() - space.size_log10(), std::log10(10 * 2 * 4801.0 / 321), 1e-9);
  Random random(5);
  for (int i = 0; i < 100; ++i) {
    const Encoding encoding = space.Sample(random);
    EXPECT_EQ(encoding[0], 224);
    EXPECT_TRUE(Gpunet().Contains(encoding));
  }
  EXPECT_EQ(Gpunet().resolution().values.size(), 10u);
}

TEST(SearchSpace, RestrictNamesTheNearestGeneAndValue) {
  EXPECT_THAT(InputError([] { Gpunet().Restrict({{"stage2.kernal", {3}}}); }),
              AllOf(HasSubstr("gpunet"), HasSubstr("did you mean 'stage2.kernel'")));
  EXPECT_THAT(InputError([] { Gpunet().Restrict({{"resolution", {230}}}); }),
              AllOf(HasSubstr("resolution"), HasSubstr("'230'"), HasSubstr("nearest: 224")));
  EXPECT_THAT(InputError([] { Gpunet().Restrict({{"resolution", {}}}); }),
              HasSubstr("no value is allowed"));
}

}  // namespace
}  // namespace lathe::space
