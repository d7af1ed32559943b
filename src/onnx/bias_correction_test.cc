#include "onnx/bias_correction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/temp_folder_testing.h"
#include "onnx/quantize.h"

namespace lathe::onnx {
namespace {

// A depthwise layer over two channels, and a tail.
net::Network Depthwise() {
  net::Network network{.name = "depthwise", .input = {2, 4, 4}, .layers = {}};
  network.layers.push_back({.op = net::Op::kIrb,
                            .in = network.input,
                            .out_channels = 2,
                            .mid_channels = 2,
                            .expand = false});
  network.layers.push_back(
      {.op = net::Op::kTail, .in = network.layers[0].out(), .out_channels = 3, .mid_channels = 4});
  return network;
}

TEST(BiasShifts, AreTheRoundingTimesTheMeans) {
  const net::Graph graph = net::Lower(Depthwise());
  net::Weights weights = net::RandomWeights(graph, 1);
  for (auto& [name, tensor] : weights.tensors) {
    if (name.ends_with(".bn.var"))
      for (float& value : tensor.values) value = 1 - graph.nodes[0].bn_eps;
  }
  // Of scale 1 and 2: what is rounded away adds up to 0.3 of channel 0 and -0.5 of channel 1.
  weights.tensors.at("l00.depthwise.weight").values = {127, 1.3f, 0, 0, 0, 0, 0, 0, 0,  //
                                                       254, 1.5f, 0, 0, 0, 0, 0, 0, 0};
  ChannelMeans means;
  for (const std::string& name : QuantizedNodes(graph)) means[name] = {};
  means["image"] = {10, 100};
  for (const net::Node& node : graph.nodes)
    means[node.name] = std::vector<double>(static_cast<size_t>(node.out.c));
  const auto shifts = BiasShifts(graph, weights, means);
  EXPECT_THAT(shifts.at("l00.depthwise"),
              testing::ElementsAre(testing::FloatNear(3, 1e-3f), testing::FloatNear(-50, 1e-2f)));
  EXPECT_THAT(shifts.at("l01.classifier"), testing::ElementsAre(0, 0, 0));
}

TEST(BiasShifts, MissingMeansAreNamed) {
  const net::Graph graph = net::Lower(Depthwise());
  const net::Weights weights = net::RandomWeights(graph, 1);
  EXPECT_THAT(
      MessageOf(ErrorKind::kInput, [&] { BiasShifts(graph, weights, {{"image", {1, 2, 3}}}); }),
      testing::HasSubstr("'l00.depthwise': no means of the 2 channels of 'image'"));
}

}  // namespace
}  // namespace lathe::onnx
