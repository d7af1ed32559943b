#include "onnx/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "net/zoo.h"

namespace lathe::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ActivationScale ScaleOf(Range range) { return onnx::ScaleOf({{"x", range}}, "x"); }

float Back(const ActivationScale& scale, int integer) {
  return scale.scale * static_cast<float>(integer - scale.zero_point);
}

TEST(Quantize, RangesCoverTheirEndsAndZeroIsExact) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto at = static_cast<float>(5 * random.Normal());
    const Range range{at, at + static_cast<float>(5 * random.Uniform())};
    const ActivationScale scale = ScaleOf(range);
    EXPECT_GT(scale.scale, 0);
    // The zero point is rounded, so the ends may be half a step off; zero never is.
    EXPECT_LE(Back(scale, 0), std::min(range.low, 0.0f) + 0.501f * scale.scale);
    EXPECT_GE(Back(scale, 255), std::max(range.high, 0.0f) - 0.501f * scale.scale);
    EXPECT_EQ(Back(scale, scale.zero_point), 0);
  }
}

TEST(Quantize, KnownScales) {
  const ActivationScale relu = ScaleOf({0, 6});
  EXPECT_FLOAT_EQ(relu.scale, 6.0f / 255);
  EXPECT_EQ(relu.zero_point, 0);
  const ActivationScale linear = ScaleOf({-1, 4});
  EXPECT_FLOAT_EQ(linear.scale, 5.0f / 255);
  EXPECT_EQ(linear.zero_point, 51);
  EXPECT_EQ(ScaleOf({2, 6}).zero_point, 0);
  EXPECT_FLOAT_EQ(ScaleOf({2, 6}).scale, 6.0f / 255);
  EXPECT_EQ(ScaleOf({-6, -2}).zero_point, 255);
  constexpr float kMost = std::numeric_limits<float>::max();
  EXPECT_TRUE(std::isfinite(ScaleOf({-kMost, kMost}).scale));
}

// Dead layers exist.
TEST(Quantize, ConstantZeroIsFine) {
  for (const float high : {0.0f, 1e-30f}) {
    EXPECT_EQ(ScaleOf({0, high}).scale, 1);
    EXPECT_EQ(ScaleOf({0, high}).zero_point, 0);
  }
}

TEST(Quantize, BadRangesAreNamed) {
  const auto message = [](const Ranges& ranges) -> std::string {
    try {
      onnx::ScaleOf(ranges, "l03.project");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      return e.what();
    }
    return "nothing was thrown";
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message({}), HasSubstr("'l03.project', which is missing"));
  EXPECT_THAT(message({{"l03.project", {3, 1}}}), HasSubstr("'l03.project', 3 to 1, is empty"));
  EXPECT_THAT(message({{"l03.project", {0, kInfinity}}}), HasSubstr("not finite"));
  EXPECT_THAT(message({{"l03.project", {std::nanf(""), 1}}}), HasSubstr("not finite"));
}

TEST(Quantize, WeightsHaveAScalePerChannel) {
  const std::vector<float> weight = {1.0f,   -2.54f, 0.0f, 0.5f, 0.0f,   0.0f, 0.0f,  0.0f,
                                     1e-30f, 0.0f,   0.0f, 0.0f, 127.0f, 1.4f, -1.6f, -127.0f};
  const QuantizedWeight quantized = QuantizeWeight(weight, 4);
  EXPECT_THAT(quantized.scales, ElementsAre(testing::FloatEq(0.02f), 1, 1, 1));
  EXPECT_THAT(quantized.values,
              ElementsAre(50, -127, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 127, 1, -2, -127));
}

TEST(Quantize, NodesOfABlockWithAGate) {
  net::Network network;
  network.input = {3, 8, 8};
  network.layers.push_back({.op = net::Op::kIrb,
                            .in = network.input,
                            .out_channels = 3,
                            .mid_channels = 6,
                            .se_channels = 2,
                            .residual = true});
  network.layers.push_back(
      {.op = net::Op::kTail, .in = network.layers[0].out(), .out_channels = 4, .mid_channels = 6});
  EXPECT_THAT(QuantizedNodes(net::Lower(network)),
              ElementsAre("image", "l00.expand", "l00.depthwise", "l00.se.scale", "l00.project",
                          "l00.add", "l01.pool"));
}

TEST(Quantize, NominalRangesNameEveryNode) {
  for (const net::ZooEntry& entry : net::Zoo()) {
    const net::Graph graph = net::Lower(net::ZooNetwork(entry.name, {.resolution = 32}));
    const Ranges ranges = NominalRanges(graph);
    EXPECT_EQ(ranges.size(), graph.nodes.size() + 1);
    for (const auto& [name, range] : ranges) {
      EXPECT_NO_THROW(onnx::ScaleOf(ranges, name));
      EXPECT_LT(range.low, range.high) << name;
    }
  }
}

}  // namespace
}  // namespace lathe::onnx
