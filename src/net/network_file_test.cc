#include "net/network_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "net/zoo.h"

namespace lathe::net {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(NetworkFileTest, RoundTripsTheZoo) {
  for (const ZooEntry& entry : Zoo()) {
    SCOPED_TRACE(entry.name);
    for (int resolution : {64, 160}) {
      const Network network =
          ZooNetwork(entry.name, {.resolution = resolution, .channels = 1, .classes = 7});
      EXPECT_EQ(ParseNetwork(ToJson(network), "x.json"), network);
    }
  }
}

TEST(NetworkFileTest, RoundTripsAwkwardNames) {
  Network network = ZooNetwork("mobilenet_v3_small");
  network.name = "a \"quoted\" \\ name\n\t\x01 \xc3\xbc";
  EXPECT_EQ(ParseNetwork(ToJson(network), "x.json"), network);
  network.name = "broken \xff utf-8";
  EXPECT_NO_THROW(ParseNetwork(ToJson(network), "x.json"));
}

TEST(NetworkFileTest, NamesFileLineAndKey) {
  const std::string good = ToJson(ZooNetwork("mobilenet_v3_small", {.classes = 10}));
  const auto error = [&](std::string_view from, std::string_view to) {
    return MessageOf(ErrorKind::kInput, [&] { ParseNetwork(Replaced(good, from, to), "n.json"); });
  };
  EXPECT_THAT(error("\"lathe-network\"", "\"lathe-netwrok\""),
              AllOf(HasSubstr("n.json:2"), HasSubstr("lathe-network")));
  EXPECT_THAT(error("\"version\": 1", "\"version\": 2"),
              HasSubstr("reads version 1, the file has 2"));
  EXPECT_THAT(error("\"stride\": 2", "\"strid\": 2"),
              AllOf(HasSubstr("n.json:7"), HasSubstr("stride")));
  EXPECT_THAT(error("\"hard_swish\"", "\"hardswish\""), HasSubstr("did you mean 'hard_swish'?"));
  EXPECT_THAT(error("\"residual\": false", "\"residual\": 0"), HasSubstr("residual"));
  EXPECT_THAT(error("\"bn_eps\": 0.001", "\"bn_eps\": 1e999"), HasSubstr("n.json:7"));
  EXPECT_THAT(error("\"kernel\": 3", "\"kernel\": 3.5"), HasSubstr("kernel"));
  EXPECT_THAT(error("\"kernel\": 3", "\"kernel\": 99999999999"), HasSubstr("kernel"));
  EXPECT_THAT(error("\"kernel\": 3", "\"kernel\": 2"),
              AllOf(HasSubstr("n.json: "), HasSubstr("layer 0 (conv)")));
  EXPECT_THAT(error("[3, 224, 224]", "[3, 224]"), HasSubstr("three numbers"));
  EXPECT_THAT(error("[16, 112, 112]", "[16, 112, 111]"),
              HasSubstr("layer 1 (irb): in is 16x112x111"));
  EXPECT_THAT(error("\"layers\": [", "\"layers\": [3,"), HasSubstr("layers"));
  for (const char* text : {"", "  ", "3", "nul", "{", "[", "{}", "[]", "[1]", "\"x\"", "[[]]"}) {
    EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ParseNetwork(text, "n.json"); }),
                HasSubstr("n.json"))
        << text;
  }
}

// Damaged files end in an error or in a valid network, never in anything else.
TEST(NetworkFileTest, SurvivesRandomDamage) {
  std::mt19937 random(7);
  const Network network = ZooNetwork("gpunet_1");
  for (const std::string& good : {ToJson(network), ToGpunetJson(network)}) {
    for (int i = 0; i < 300; ++i) {
      std::string text = good;
      for (int k = 0; k < 3; ++k)
        text[random() % text.size()] = "0123456789,:{}[]\"ae-. "[random() % 22];
      try {
        Validate(ParseNetwork(text, "n.json"));
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInput) << error.what();
      }
    }
  }
}

// ---- NVIDIA's lists ----

constexpr std::string_view kList = R"([
  {"layer_type": "data", "img_resolution": 224, "distill": false},
  {"layer_type": "head", "num_in_channels": 3, "num_out_channels": 32},
  {"layer_type": "fused_irb", "num_in_channels": 32, "num_out_channels": 48, "stride": 2, "expansion": 3,
   "kernel_size": 3, "act": "swish", "use_se": true, "stage": 2},
  {"layer_type": "irb", "num_in_channels": 48, "num_out_channels": 48, "stride": 1, "expansion": 1,
   "kernel_size": 5, "act": "relu", "use_se": true, "stage": 3},
  {"layer_type": "tail", "num_in_channels": 48, "num_out_channels": 1280, "num_classes": 1000}
])";

TEST(GpunetFileTest, FollowsNvidiasBuilder) {
  const Network network = ParseNetwork(kList, "list");
  ASSERT_EQ(network.layers.size(), 4u);
  EXPECT_EQ(network.name, "list");
  EXPECT_EQ(network.layers[0].act, Activation::kSwish);
  const Layer& fused = network.layers[1];
  EXPECT_EQ(fused.mid_channels, 96);
  EXPECT_EQ(fused.se_channels, 8);  // round(96 * (0.25 / 3))
  EXPECT_EQ(fused.padding, Padding::kValid);
  EXPECT_EQ(fused.out(), (Shape{48, 55, 55}));
  EXPECT_EQ(fused.se_act, Activation::kSwish);
  const Layer& irb = network.layers[2];
  EXPECT_TRUE(irb.expand);
  EXPECT_TRUE(irb.residual);
  EXPECT_EQ(irb.mid_channels, 48);
  EXPECT_EQ(irb.se_channels, 12);
  EXPECT_EQ(irb.se_gate, Activation::kSigmoid);
  EXPECT_EQ(irb.padding, Padding::kSymmetric);
}

TEST(GpunetFileTest, SqueezeRoundsHalvesToEven) {
  const auto squeeze = [](std::string_view channels, std::string_view expansion) {
    std::string list = Replaced(std::string(kList), R"("num_out_channels": 48, "stride": 2)",
                                fmt::format(R"("num_out_channels": {}, "stride": 2)", channels));
    list = Replaced(
        list, R"("num_in_channels": 48, "num_out_channels": 48, "stride": 1, "expansion": 1)",
        fmt::format(
            R"("num_in_channels": {}, "num_out_channels": 48, "stride": 1, "expansion": {})",
            channels, expansion));
    return ParseNetwork(list, "list").layers[2].se_channels;
  };
  EXPECT_EQ(squeeze("40", "4"), 10);
  EXPECT_EQ(squeeze("24", "5.2"), 6);  // 128 * (0.25 / 5.2) = 6.15
  EXPECT_EQ(squeeze("10", "0.8"), 2);  // 8 * 0.3125 = 2.5
  EXPECT_EQ(squeeze("30", "0.8"), 8);  // 24 * 0.3125 = 7.5
}

TEST(GpunetFileTest, NamesLineKeyAndNearestName) {
  const auto error = [](std::string_view from, std::string_view to) {
    return MessageOf(ErrorKind::kInput,
                     [&] { ParseNetwork(Replaced(std::string(kList), from, to), "g.json"); });
  };
  EXPECT_THAT(error("\"fused_irb\"", "\"fused_ibr\""),
              AllOf(HasSubstr("g.json:4"), HasSubstr("did you mean 'fused_irb'?")));
  EXPECT_THAT(error("\"use_se\": true", "\"use_es\": true"),
              AllOf(HasSubstr("g.json:5"), HasSubstr("use_se")));
  EXPECT_THAT(error("\"num_in_channels\": 32", "\"num_in_channels\": 24"),
              HasSubstr("the layer before gives 32 channels"));
  EXPECT_THAT(error("\"act\": \"swish\"", "\"act\": \"swsh\""), HasSubstr("did you mean 'swish'?"));
  EXPECT_THAT(error("\"expansion\": 3", "\"expansion\": -3"), HasSubstr("expansion"));
  EXPECT_THAT(error("\"expansion\": 3", "\"expansion\": 1e9"), HasSubstr("expansion"));
  EXPECT_THAT(error("\"kernel_size\": 3", "\"kernel_size\": 4"), HasSubstr("only odd sizes"));
  EXPECT_THAT(error("\"stride\": 2", "\"stride\": 3"), HasSubstr("stride"));
  EXPECT_THAT(error("\"distill\": false", "\"distil\": false"), HasSubstr("distill"));
  EXPECT_THAT(error("\"data\"", "\"date\""), HasSubstr("'data'"));
  EXPECT_THAT(error("\"img_resolution\": 224", "\"img_resolution\": 0"),
              HasSubstr("img_resolution"));
  EXPECT_THAT(error("\"img_resolution\": 224", "\"img_resolution\": 2"),
              AllOf(HasSubstr("g.json: "), HasSubstr("smaller than the kernel")));
  EXPECT_THAT(error("1280, \"num_classes\": 1000}", "1280, \"num_classes\": 1000},"),
              HasSubstr("g.json:"));
}

TEST(GpunetFileTest, RoundTripsTheReleasedNetworks) {
  for (const ZooEntry& entry : Zoo()) {
    if (entry.scalable) continue;
    SCOPED_TRACE(entry.name);
    const Network network = ZooNetwork(entry.name);
    EXPECT_EQ(ParseNetwork(ToGpunetJson(network), entry.name), network);
    const Network other = ZooNetwork(entry.name, {.resolution = 96, .channels = 1, .classes = 5});
    EXPECT_EQ(ParseNetwork(ToGpunetJson(other), other.name), other);
  }
}

TEST(GpunetFileTest, SaysWhatHasNoCounterpart) {
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [] { ToGpunetJson(ZooNetwork("mobilenet_v2")); }),
              AllOf(HasSubstr("layer 0 (conv)"), HasSubstr("act is relu6")));
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [] { ToGpunetJson(ZooNetwork("efficientnet_b0")); }),
              HasSubstr("layer 0 (conv)"));
  Network network = ZooNetwork("gpunet_1");
  network.layers[2].padding = Padding::kSame;
  network = WithInput(network, network.input);
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ToGpunetJson(network); }),
              AllOf(HasSubstr("layer 2 (fused_irb)"),
                    HasSubstr("padding is \"same\", NVIDIA's builder makes \"valid\"")));
  network = ZooNetwork("gpunet_1");
  network.layers[4].mid_channels += 1;
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ToGpunetJson(network); }),
              HasSubstr("mid_channels is 257"));
  EXPECT_THAT(MessageOf(ErrorKind::kInput,
                        [] { ToGpunetJson(WithInput(ZooNetwork("gpunet_p0"), {3, 64, 96})); }),
              HasSubstr("square"));
}

TEST(GpunetFileTest, ReadsNvidiasFiles) {
  const std::filesystem::path folder =
      std::filesystem::path(LATHE_SOURCE_DIR) / "../shared/data/gpunet";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "NVIDIA's own files are not at " << folder << ": not compared";
  const std::pair<const char*, const char*> files[] = {
      {"gpunet_0", "0.65ms"},   {"gpunet_1", "0.85ms"},   {"gpunet_2", "1.75ms"},
      {"gpunet_p0", "0.5ms-D"}, {"gpunet_p1", "0.8ms-D"}, {"gpunet_d1", "1.25ms-D"},
      {"gpunet_d2", "2.25ms-D"}};
  for (const auto& [name, file] : files) {
    SCOPED_TRACE(name);
    Network network = ReadNetwork(folder / fmt::format("{}.json", file));
    EXPECT_EQ(network.name, file);
    network.name = name;
    EXPECT_EQ(network, ZooNetwork(name));
  }
}

TEST(DescribeTest, ShowsLayersAndTotal) {
  const std::string text = Describe(ZooNetwork("gpunet_0"));
  EXPECT_THAT(text, AllOf(HasSubstr("fused_irb"), HasSubstr("32x160x160"), HasSubstr("11,885,432"),
                          HasSubstr("total")));
}

}  // namespace
}  // namespace lathe::net
