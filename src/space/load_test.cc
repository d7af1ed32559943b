#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "space/search_space.h"

namespace lathe::space {
namespace {

using ::testing::HasSubstr;

// A valid space; the tests break one line each.
const std::vector<std::string> kLines = {
    R"(format = "lathe-space")",                       // 1
    R"(version = 1)",                                  // 2
    R"(resolution = {from = 32, to = 64, step = 8})",  // 3
    R"(round_channels = 8)",                           // 4
    R"([tail])",                                       // 5
    R"(width = 64)",                                   // 6
    R"([[stage]])",                                    // 7
    R"(op = "conv")",                                  // 8
    R"(stride = 2)",                                   // 9
    R"(filters = [16, 24])",                           // 10
    R"(kernel = 3)",                                   // 11
    R"(activation = "swish")",                         // 12
    R"(layers = 1)",                                   // 13
    R"([[stage]])",                                    // 14
    R"(op = "irb")",                                   // 15
    R"(stride = 1)",                                   // 16
    R"(filters = [32, 16])",                           // 17
    R"(kernel = [3, 5])",                              // 18
    R"(expansion = {from = 2, to = 6, step = 2})",     // 19
    R"(se = [0, 1])",                                  // 20
    R"(activation = ["swish", "relu"])",               // 21
    R"(layers = [0, 2])",                              // 22
};

SearchSpace ParseLines(const std::vector<std::string>& lines) {
  return SearchSpace::Parse(fmt::format("{}\n", fmt::join(lines, "\n")), "space.toml");
}

TEST(SpaceFile, ScalarsAreFixedAndListsAreGenes) {
  const SearchSpace space = ParseLines(kLines);
  std::vector<std::string> names;
  for (const Gene& gene : space.genes()) names.push_back(gene.name);
  EXPECT_THAT(names, ::testing::ElementsAre("resolution", "stage0.filters", "stage1.filters",
                                            "stage1.kernel", "stage1.expansion", "stage1.se",
                                            "stage1.activation", "stage1.layers"));
  EXPECT_EQ(space.name(), "space.toml");
  EXPECT_THAT(space.stages()[1].filters.values, ::testing::ElementsAre(16, 32));
  EXPECT_FALSE(space.genes()[space.GeneIndex("stage1.activation")].ordinal);
  EXPECT_TRUE(space.genes()[space.GeneIndex("stage1.kernel")].ordinal);
}

TEST(SpaceFile, AListOfOneIsAGene) {
  std::vector<std::string> lines = kLines;
  lines[10] = "kernel = [3]";
  EXPECT_EQ(ParseLines(lines).genes()[2].name, "stage0.kernel");
  lines[2] = "resolution = 32";
  const SearchSpace fixed = ParseLines(lines);
  EXPECT_EQ(fixed.genes()[0].name, "stage0.filters");
  EXPECT_EQ(fixed.resolution().gene, -1);
  Random random(1);
  EXPECT_EQ(fixed.Decode(fixed.Sample(random), {}).input, (net::Shape{3, 32, 32}));
}

TEST(SpaceFile, EveryPropertyCanBeShared) {
  std::vector<std::string> lines = kLines;
  lines[10] = "kernel = [3, 5]";
  lines[11] = R"(activation = ["relu", "hard_swish"])";
  lines[12] = "layers = [1, 2]";
  for (size_t i : {16, 17, 20, 21}) lines[i].replace(lines[i].find('=') + 1, 100, R"( "stage0")");
  const SearchSpace space = ParseLines(lines);
  EXPECT_EQ(space.genes().size(), 7u);
  const Stage &first = space.stages()[0], &second = space.stages()[1];
  EXPECT_EQ(first.kernel.gene, second.kernel.gene);
  EXPECT_EQ(first.activation.gene, second.activation.gene);
  EXPECT_EQ(first.layers.gene, second.layers.gene);
  EXPECT_EQ(first.filters.gene, second.filters.gene);
}

struct BadCase {
  std::string name;
  size_t line;  // replaced
  std::string text;
  std::string where;  // expected position
  std::vector<std::string> expected;
};

void PrintTo(const BadCase& bad, std::ostream* out) { *out << bad.name; }

class BadSpaceFile : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadSpaceFile, IsRefusedWithItsPosition) {
  const BadCase& bad = GetParam();
  std::vector<std::string> lines = kLines;
  lines[bad.line - 1] = bad.text;
  try {
    ParseLines(lines);
    FAIL() << "accepted: " << bad.text;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.what(), ::testing::StartsWith(bad.where + ":"));
    for (const std::string& part : bad.expected) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

const BadCase kBadCases[] = {
    {"format", 1, R"(format = "lathe-network")", "space.toml:1", {"lathe-space"}},
    {"newer", 2, "version = 2", "space.toml:2", {"newer"}},
    {"no_resolution", 3, "", "space.toml", {"resolution"}},
    {"empty_range", 3, "resolution = {from = 64, to = 32}", "space.toml:3", {"from (64)", "(32)"}},
    {"step_misses",
     3,
     "resolution = {from = 32, to = 64, step = 7}",
     "space.toml:3",
     {"do not reach 64", "60", "67"}},
    {"step_zero", 3, "resolution = {from = 32, to = 64, step = 0}", "space.toml:3", {"step"}},
    {"range_key",
     3,
     "resolution = {from = 32, to = 64, stp = 8}",
     "space.toml:3",
     {"did you mean 'step'"}},
    {"many_choices", 3, "resolution = {from = 1, to = 4096, step = 0.5}", "space.toml:3", {"step"}},
    {"one_pixel", 3, "resolution = [1, 32]", "space.toml:9", {"stride", "less than one pixel"}},
    {"padding", 4, R"(fused_padding = "vald")", "space.toml:4", {"did you mean 'valid'"}},
    {"big_feature_map", 3, "resolution = [4096]", "space.toml:14", {"feature map", "GiB"}},
    {"root_key", 4, "round_chanels = 8", "space.toml:4", {"did you mean 'round_channels'"}},
    {"tail_key", 6, "widht = 64", "space.toml:5", {"width", "misspelling"}},
    {"tail_width", 6, "width = 0", "space.toml:6", {"width"}},
    {"op", 8, R"(op = "convv")", "space.toml:8", {"did you mean 'conv'"}},
    {"first_op", 8, "op = \"irb\"\nexpansion = 2", "space.toml:8", {"first stage"}},
    {"stride", 9, "stride = 0", "space.toml:9", {"stride"}},
    {"empty_list", 10, "filters = []", "space.toml:10", {"empty"}},
    {"repeated", 10, "filters = [16, 24, 16]", "space.toml:10", {"twice"}},
    {"huge_width", 10, "filters = 1000000", "space.toml:10", {"65536"}},
    {"conv_expansion", 11, "kernel = 3\nexpansion = 2", "space.toml:12", {"conv"}},
    {"even_kernel", 11, "kernel = [3, 4]", "space.toml:11", {"4 is even"}},
    {"wrong_type", 11, "kernel = 3.5", "space.toml:11", {"kernel"}},
    {"activation", 12, R"(activation = "swich")", "space.toml:12", {"did you mean 'swish'"}},
    {"activation_number", 12, "activation = 3", "space.toml:12", {"activation"}},
    {"no_layers_first", 13, "layers = [0, 1]", "space.toml:13", {"zero layers", "stride"}},
    {"stage_key", 16, "stride = 1\nfilter = 8", "space.toml:17", {"did you mean 'filters'"}},
    {"empty_stride_2", 16, "stride = 2", "space.toml:22", {"zero layers", "stride of 2"}},
    {"huge_weights", 17, "filters = 65536", "space.toml:14", {"GiB"}},
    {"unknown_stage", 17, R"(filters = "stage7")", "space.toml:17", {"stage7", "earlier stage"}},
    {"own_stage", 17, R"(filters = "stage1")", "space.toml:17", {"earlier stage"}},
    {"garbled_stage", 17, R"(filters = "stage0x")", "space.toml:17", {"stage0x"}},
    {"rounding", 17, "filters = [2, 16]", "space.toml:19", {"round to 8", "round_channels"}},
    {"shared_expansion", 19, R"(expansion = "stage0")", "space.toml:19", {"conv"}},
    {"no_expansion", 19, "", "space.toml:14", {"expansion"}},
    {"se_value", 20, "se = [0, 2]", "space.toml:20", {"se"}},
    {"activation_list", 21, R"(activation = ["relu", "relu"])", "space.toml:21", {"twice"}},
    {"never_a_layer", 22, "layers = 0", "space.toml:22", {"never"}},
    {"negative", 22, "layers = [-1, 2]", "space.toml:22", {"layers"}},
    {"lending_empty",
     22,
     "layers = [0, 1]\n[[stage]]\nop = \"conv\"\nstride = 1\nfilters = \"stage1\"\nkernel = 3\n"
     "activation = \"relu\"\nlayers = 1",
     "space.toml:26",
     {"zero layers", "lend"}},
    {"syntax", 22, "layers = [", "space.toml", {}},
};

INSTANTIATE_TEST_SUITE_P(All, BadSpaceFile, ::testing::ValuesIn(kBadCases),
                         [](const auto& bad) { return bad.param.name; });

TEST(SpaceFile, UnpaddedStagesNeedImagesOfTheirKernel) {
  std::vector<std::string> lines = kLines;
  lines[3] = R"(fused_padding = "valid")";
  lines[14] = R"(op = "fused_irb")";
  lines[15] = "stride = 2";
  lines[17] = "kernel = [3, 15]";
  lines[21] = "layers = 1";
  EXPECT_NO_THROW(ParseLines(lines));  // 32 px, 16 px after the first stage
  lines[17] = "kernel = [3, 17]";
  try {
    ParseLines(lines);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("space.toml:16:"));
    EXPECT_THAT(error.what(), HasSubstr("16 px wide before this stage, which needs 17"));
  }
}

TEST(SpaceFile, StagesAreRequired) {
  const std::vector<std::string> lines(kLines.begin(), kLines.begin() + 6);
  try {
    ParseLines(lines);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("[[stage]]"));
  }
}

TEST(SpaceFile, MissingFileIsNamed) {
  try {
    SearchSpace::Load("/nowhere/space.toml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/space.toml"));
  }
}

}  // namespace
}  // namespace lathe::space
