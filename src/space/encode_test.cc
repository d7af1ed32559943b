// Encodings to networks and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "base/error.h"
#include "net/network.h"
#include "net/network_file.h"
#include "space/random_space_testing.h"
#include "space/search_space.h"

namespace lathe::space {
namespace {

using ::testing::HasSubstr;

SearchSpace LoadSpace(const std::string& name) {
  return SearchSpace::Load(std::filesystem::path(LATHE_SOURCE_DIR) / "configs/spaces" /
                           (name + ".toml"));
}

net::Network WithoutLabels(net::Network network) {
  for (net::Layer& layer : network.layers) layer.stage = 0;
  return network;
}

// Values of Table 2's genes, by name; the rest are first choices.
Encoding Make(const SearchSpace& space, const std::map<std::string, std::string>& values) {
  Encoding encoding;
  for (const Gene& gene : space.genes()) encoding.push_back(gene.choices.front());
  for (const auto& [gene, text] : values) {
    const size_t index = space.GeneIndex(gene);
    encoding[index] = ParseChoice(space.genes()[index], text);
  }
  return encoding;
}

void ExpectRoundTrips(const SearchSpace& space, int count, uint64_t seed) {
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    const Encoding encoding = space.Sample(random);
    const net::Network network = space.Decode(encoding, {.channels = 1, .classes = 10});
    ASSERT_NO_THROW(net::Validate(network));
    ASSERT_EQ(space.Encode(network), encoding);
    ASSERT_EQ(space.Nearest(network), encoding);
    // Without labels the split among stages may be another one, but it stands for the same network.
    const net::Network bare = WithoutLabels(network);
    const Encoding parsed = space.Encode(bare);
    ASSERT_EQ(space.Canonical(parsed), parsed);
    ASSERT_EQ(WithoutLabels(space.Decode(parsed, {.channels = 1, .classes = 10})), bare);
  }
}

TEST(Encode, RoundTripsThroughTheGpunetSpace) { ExpectRoundTrips(LoadSpace("gpunet"), 400, 1); }
TEST(Encode, RoundTripsThroughSmallImages) { ExpectRoundTrips(LoadSpace("small-images"), 400, 2); }

TEST(Encode, AMillionCandidatesComeBack) {
  for (const std::string name : {"gpunet", "small-images"}) {
    const SearchSpace space = LoadSpace(name);
    Random random(4);
    for (int i = 0; i < 500000; ++i) {
      const Encoding encoding = space.Sample(random);
      ASSERT_EQ(space.Encode(space.Decode(encoding, {})), encoding);
    }
  }
}

TEST(Decode, FollowsTheSemanticsOfGpunetLists) {
  const SearchSpace space = LoadSpace("gpunet");
  const Encoding encoding = Make(space, {{"resolution", "224"},
                                         {"stage0.filters", "24"},
                                         {"stage1.kernel", "5"},
                                         {"stage1.activation", "relu"},
                                         {"stage1.layers", "2"},
                                         {"stage2.filters", "48"},
                                         {"stage2.expansion", "3"},
                                         {"stage2.se", "1"},
                                         {"stage2.activation", "swish"},
                                         {"stage2.layers", "2"},
                                         {"stage4.expansion", "4"},
                                         {"stage5.filters", "112"},
                                         {"stage5.layers", "1"}});
  const net::Network network = space.Decode(encoding, {.channels = 3, .classes = 7});
  ASSERT_EQ(network.layers.size(), 1u + 2 + 2 + 1 + 1 + 1 + 1 + 0 + 1);
  EXPECT_EQ(network.input, (net::Shape{3, 224, 224}));
  EXPECT_EQ(network.num_classes(), 7);

  const net::Layer& stem = network.layers[0];
  EXPECT_EQ(std::tie(stem.out_channels, stem.kernel, stem.stride, stem.residual),
            std::make_tuple(24, 3, 2, false));
  EXPECT_EQ(stem.act, net::Activation::kSwish);
  EXPECT_EQ(stem.padding, net::Padding::kSymmetric);
  EXPECT_EQ(stem.bn_eps, 1e-3f);

  const net::Layer& conv = network.layers[2];
  EXPECT_EQ(conv.in, (net::Shape{24, 112, 112}));
  EXPECT_EQ(std::tie(conv.out_channels, conv.kernel, conv.stride, conv.residual),
            std::make_tuple(24, 5, 1, false));
  EXPECT_EQ(conv.act, net::Activation::kRelu);

  const net::Layer& fused = network.layers[3];
  EXPECT_EQ(fused.op, net::Op::kFusedIrb);
  EXPECT_EQ(std::tie(fused.out_channels, fused.mid_channels, fused.stride, fused.se_channels,
                     fused.residual),
            std::make_tuple(48, 72, 2, 6, false));
  EXPECT_EQ(fused.padding, net::Padding::kValid);
  EXPECT_EQ(fused.se_act, net::Activation::kSwish);
  EXPECT_EQ(fused.se_gate, net::Activation::kSigmoid);

  const net::Layer& repeat = network.layers[4];  // expands its own input
  EXPECT_EQ(std::tie(repeat.in.c, repeat.mid_channels, repeat.stride, repeat.se_channels,
                     repeat.residual, repeat.stage),
            std::make_tuple(48, 144, 1, 12, true, 2));
  EXPECT_EQ(repeat.in, (net::Shape{48, 55, 55}));  // (112 - 3) / 2 + 1

  const net::Layer& irb = network.layers[6];
  EXPECT_EQ(irb.op, net::Op::kIrb);
  EXPECT_EQ(std::tie(irb.in.c, irb.out_channels, irb.mid_channels, irb.se_channels),
            std::make_tuple(48, 96, 192, 0));
  EXPECT_EQ(irb.padding, net::Padding::kSymmetric);

  const net::Layer& tail = network.layers.back();
  EXPECT_EQ(tail.op, net::Op::kTail);
  EXPECT_EQ(tail.in, (net::Shape{128, 7, 7}));
  EXPECT_EQ(tail.mid_channels, 1280);
  EXPECT_EQ(tail.act, net::Activation::kRelu);
}

// round-half-even: a quarter of 24, 40 and 56 input channels is 6, 10, 14; of 2 mod 4 it is a tie.
TEST(Decode, SqueezesToAQuarterRoundedHalfToEven) {
  const SearchSpace space = SearchSpace::Parse(R"(
format = "lathe-space"
version = 1
resolution = 32
round_channels = 1
[tail]
width = 8
[[stage]]
op = "conv"
stride = 1
filters = [10, 14]
kernel = 3
activation = "relu"
layers = 1
[[stage]]
op = "irb"
stride = 1
filters = "stage0"
kernel = 3
expansion = 3
se = 1
activation = "relu"
layers = 1
)",
                                               "ties");
  EXPECT_EQ(space.Decode(Encoding{10}, {}).layers[1].se_channels, 2);  // 2.5
  EXPECT_EQ(space.Decode(Encoding{14}, {}).layers[1].se_channels, 4);  // 3.5
  EXPECT_TRUE(space.Decode(Encoding{14}, {}).layers[1].residual);
}

TEST(Decode, RefusesHeadsWithoutClasses) {
  const SearchSpace space = LoadSpace("small-images");
  EXPECT_THROW(space.Decode(Make(space, {}), {.channels = 3, .classes = 0}), Error);
  EXPECT_THROW(space.Decode(Make(space, {}), {.channels = 0, .classes = 10}), Error);
}

// The first split that is tried (two layers to stage 1) fails in stage 4, because stage 2 then has
// another kernel; the right one comes to stage 4 at the same layer.
TEST(Encode, TriesASplitAgainWithOtherSharedGenes) {
  const auto irb = [](std::string_view kernel, std::string_view layers) {
    return fmt::format(
        "[[stage]]\nop = \"irb\"\nstride = 1\nfilters = 8\nexpansion = 2\n"
        "activation = \"relu\"\nkernel = {}\nlayers = {}\n",
        kernel, layers);
  };
  const SearchSpace space = SearchSpace::Parse(
      "format = \"lathe-space\"\nversion = 1\nresolution = 32\n[tail]\nwidth = 8\n"
      "[[stage]]\nop = \"conv\"\nstride = 1\nfilters = 8\nkernel = 3\n"
      "activation = \"relu\"\nlayers = 1\n" +
          irb("[3, 5]", "[1, 2]") + irb("[3, 5]", "[1, 2]") + irb("[3, 5]", "[0, 1]") +
          irb("\"stage2\"", "1"),
      "shared");
  const Encoding encoding = {3, 1, 3, 1, 5, 1};
  EXPECT_EQ(space.Encode(WithoutLabels(space.Decode(encoding, {}))), encoding);
}

class EncodeErrors : public ::testing::Test {
 protected:
  void ExpectError(const std::vector<std::string>& parts) {
    try {
      space_.Encode(network_);
      FAIL() << "encoded";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  SearchSpace space_ = LoadSpace("small-images");
  net::Network network_ = space_.Decode(Make(space_, {{"stage2.layers", "2"}}), {});
};

TEST_F(EncodeErrors, Resolution) {
  network_ = net::WithInput(network_, {3, 30, 30});
  ExpectError({"30x30", "28, 32"});
}

TEST_F(EncodeErrors, FiltersWithTheNearest) {
  network_.layers[4].out_channels = 40;
  ExpectError({"layer 4 (fused_irb)", "stage3.filters is 40", "24, 32, 48", "nearest: 32"});
}

TEST_F(EncodeErrors, Kernel) {
  network_.layers[5].kernel = 7;
  ExpectError({"layer 5 (irb)", "stage4.kernel is 7", "nearest: 5"});
}

TEST_F(EncodeErrors, Expansion) {
  network_.layers[5].mid_channels = 72;  // three times its input
  ExpectError({"layer 5 (irb)", "stage4.expansion is 3", "2, 4"});
}

TEST_F(EncodeErrors, ValueInTheMiddleOfAStage) {
  network_.layers[3].act = net::Activation::kSwish;
  ExpectError({"layer 3 (fused_irb)", "swish"});
}

TEST_F(EncodeErrors, SharedGene) {
  network_.layers[1].out_channels = 16;
  ExpectError({"layer 1 (conv)", "stage1.filters is 16", "stage0.filters", "8"});
}

TEST_F(EncodeErrors, Tail) {
  network_.layers.back().mid_channels = 512;
  ExpectError({"(tail)", "mid_channels is 512", "256"});
}

TEST_F(EncodeErrors, TooFewLayers) {
  network_.layers.erase(network_.layers.begin() + 6, network_.layers.end() - 1);
  ExpectError({"ends before stage 6"});
}

TEST_F(EncodeErrors, PaddingMattersOnlyWithAStride) {
  network_.layers[3].padding = net::Padding::kSame;  // stride 1: no difference
  EXPECT_NO_THROW(space_.Encode(network_));
  network_.layers[4].padding = net::Padding::kSymmetric;
  ExpectError({"layer 4 (fused_irb)", "padding is symmetric"});
}

net::Network ReleasedGpunet(const std::string& file) {
  return net::ReadNetwork(std::filesystem::path(LATHE_SOURCE_DIR) / "../shared/data/gpunet" / file);
}

bool HaveGpunets() {
  return std::filesystem::exists(std::filesystem::path(LATHE_SOURCE_DIR) / "../shared/data/gpunet");
}

TEST(ReleasedGpunets, Gpunet2IsInTheSpace) {
  if (!HaveGpunets()) GTEST_SKIP() << "SKIPPED: ../shared/data/gpunet is not there";
  const SearchSpace space = LoadSpace("gpunet");
  const net::Network network = ReleasedGpunet("1.75ms.json");
  const int relu = static_cast<int>(net::Activation::kRelu);
  const int swish = static_cast<int>(net::Activation::kSwish);
  const Encoding expected = {384, 32, 3, relu, 3,                                  // stages 0, 1
                             32,  5,  6, 1,    swish, 1, 112, 3, 3, 0, swish, 3,   // 2, 3
                             144, 3,  6, 0,    swish, 6, 160, 5, 3, 0, relu,  4,   // 4, 5
                             224, 3,  3, 1,    swish, 8, 832, 5, 2, 0, relu,  7};  // 6, 7
  EXPECT_EQ(space.Encode(network), expected);
  EXPECT_EQ(space.Nearest(network), expected);
  const net::Network decoded = space.Decode(expected, {});
  EXPECT_EQ(net::Count(decoded).params, 25'798'704);  // as NVIDIA's own builder
  EXPECT_EQ(net::Count(decoded).macs, net::Count(network).macs);
  EXPECT_NEAR(static_cast<double>(net::Count(decoded).macs), 8.386e9, 1e6);
}

TEST(ReleasedGpunets, Gpunet1LiesOffTheGrid) {
  if (!HaveGpunets()) GTEST_SKIP() << "SKIPPED: ../shared/data/gpunet is not there";
  const SearchSpace space = LoadSpace("gpunet");
  const net::Network network = ReleasedGpunet("0.85ms.json");
  try {
    space.Encode(network);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("stage5.filters is 288"));
    EXPECT_THAT(error.what(), HasSubstr("nearest: 224"));
  }
  const Encoding nearest = space.Nearest(network);
  EXPECT_EQ(nearest, space.Canonical(nearest));
  const net::Network close = space.Decode(nearest, {});
  EXPECT_EQ(close.layers.size(), network.layers.size());
  EXPECT_EQ(nearest[space.GeneIndex("stage5.filters")], 224);
  EXPECT_EQ(nearest[space.GeneIndex("stage5.expansion")], 5);
  EXPECT_EQ(nearest[space.GeneIndex("stage6.filters")], 416);
  EXPECT_EQ(nearest[space.GeneIndex("stage7.layers")], 0);
}

TEST(ReleasedGpunets, NearestTakesAnyNetwork) {
  if (!HaveGpunets()) GTEST_SKIP() << "SKIPPED: ../shared/data/gpunet is not there";
  for (const std::string name : {"gpunet", "small-images"}) {
    const SearchSpace space = LoadSpace(name);
    for (const char* file : {"0.5ms-D.json", "1.25ms-D.json", "2.25ms-D.json", "0.65ms.json"}) {
      const Encoding nearest = space.Nearest(ReleasedGpunet(file));
      EXPECT_TRUE(space.Contains(nearest)) << file;
      EXPECT_NO_THROW(net::Validate(space.Decode(nearest, {})));
    }
  }
}

TEST(Encode, RoundTripsThroughRandomSpaces) {
  for (uint64_t seed = 1000; seed < 1100; ++seed) {
    SCOPED_TRACE(RandomSpaceText(seed, 1e12));
    const SearchSpace space = RandomSpace(seed, 1e12);
    ExpectRoundTrips(space, 40, seed);
    EXPECT_LE(space.size_log10(), space.raw_size_log10() + 1e-9);
  }
}

TEST(DistinctLayers, CoverEverySampledNetwork) {
  const SearchSpace space = LoadSpace("small-images").Restrict({{"resolution", {28}}});
  const SearchSpace::Head head = {.channels = 1, .classes = 10};
  const std::vector<net::Layer> all = space.DistinctLayers(28, head);
  Random random(9);
  std::vector<bool> seen(all.size(), false);
  for (int i = 0; i < 10000; ++i) {
    for (const net::Layer& layer : space.Decode(space.Sample(random), head).layers) {
      const auto found = std::find(all.begin(), all.end(), layer);
      ASSERT_NE(found, all.end());
      seen[static_cast<size_t>(found - all.begin())] = true;
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), false),
            0);  // none of them is impossible, none is twice
  EXPECT_LT(all.size(), 1000u);
}

TEST(SmallImages, StaysSmall) {
  const SearchSpace space = LoadSpace("small-images");
  int total_stride = 1;
  size_t blocks = 0;
  for (const Stage& stage : space.stages()) {
    total_stride *= stage.stride;
    blocks += static_cast<size_t>(stage.layers.values.back());
  }
  EXPECT_EQ(total_stride, 8);
  EXPECT_LE(blocks, 13u);
}

}  // namespace
}  // namespace lathe::space
