#include "net/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "net/zoo.h"

namespace lathe::net {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> NamesOf(const std::vector<Node>& nodes) {
  std::vector<std::string> names;
  for (const Node& node : nodes) names.push_back(node.name);
  return names;
}

TEST(LowerLayerTest, Conv) {
  const Layer layer{
      .op = Op::kConv, .in = {8, 16, 16}, .out_channels = 8, .groups = 4, .residual = true};
  const std::vector<Node> nodes = LowerLayer(layer, 3, 10, 9);
  ASSERT_THAT(NamesOf(nodes), ElementsAre("l03.conv", "l03.add"));
  EXPECT_EQ(nodes[0].groups, 4);
  EXPECT_EQ(nodes[0].act, Activation::kRelu);
  EXPECT_TRUE(nodes[0].batch_norm);
  EXPECT_THAT(nodes[0].inputs, ElementsAre(9));
  EXPECT_THAT(nodes[1].inputs, ElementsAre(10, 9));  // the path first, then the shortcut
}

TEST(LowerLayerTest, FusedIrbWithSqueezeExcite) {
  const Layer layer{.op = Op::kFusedIrb,
                    .in = {8, 16, 16},
                    .out_channels = 12,
                    .stride = 2,
                    .mid_channels = 32,
                    .se_channels = 2,
                    .act = Activation::kSwish,
                    .se_act = Activation::kSwish};
  const std::vector<Node> nodes = LowerLayer(layer, 0, 0, Node::kImage);
  ASSERT_THAT(NamesOf(nodes), ElementsAre("l00.expand", "l00.se.pool", "l00.se.reduce",
                                          "l00.se.expand", "l00.se.scale", "l00.project"));
  EXPECT_EQ(nodes[0].out, (Shape{32, 8, 8}));
  EXPECT_EQ(nodes[1].out, (Shape{32, 1, 1}));
  EXPECT_EQ(nodes[2].out, (Shape{2, 1, 1}));
  EXPECT_EQ(nodes[2].act, Activation::kSwish);
  EXPECT_TRUE(nodes[2].bias);
  EXPECT_FALSE(nodes[2].batch_norm);
  EXPECT_EQ(nodes[3].act, Activation::kSigmoid);
  EXPECT_THAT(nodes[4].inputs, ElementsAre(0, 3));
  EXPECT_EQ(nodes[4].in, (Shape{32, 8, 8}));
  EXPECT_THAT(nodes[5].inputs, ElementsAre(4));
  EXPECT_EQ(nodes[5].act, Activation::kNone);
  EXPECT_EQ(nodes[5].out, (Shape{12, 8, 8}));
}

TEST(LowerLayerTest, IrbWithAndWithoutExpansion) {
  Layer layer{.op = Op::kIrb,
              .in = {8, 16, 16},
              .out_channels = 8,
              .groups = 2,
              .mid_channels = 24,
              .residual = true};
  const std::vector<Node> nodes = LowerLayer(layer, 120, 5, 4);
  ASSERT_THAT(NamesOf(nodes),
              ElementsAre("l120.expand", "l120.depthwise", "l120.project", "l120.add"));
  EXPECT_EQ(nodes[0].groups, 2);
  EXPECT_EQ(nodes[1].groups, 24);
  EXPECT_EQ(nodes[2].groups, 2);
  EXPECT_THAT(nodes[3].inputs, ElementsAre(7, 4));
  layer.expand = false;
  layer.mid_channels = 8;
  EXPECT_THAT(NamesOf(LowerLayer(layer, 1, 0, -1)),
              ElementsAre("l01.depthwise", "l01.project", "l01.add"));
}

TEST(LowerLayerTest, Tail) {
  const Layer layer{.op = Op::kTail,
                    .in = {8, 4, 4},
                    .out_channels = 10,
                    .mid_channels = 32,
                    .hidden_channels = 16,
                    .hidden_bias = false,
                    .hidden_act = Activation::kHardSwish};
  const std::vector<Node> nodes = LowerLayer(layer, 2, 0, -1);
  ASSERT_THAT(NamesOf(nodes), ElementsAre("l02.conv", "l02.pool", "l02.hidden", "l02.classifier"));
  EXPECT_EQ(nodes[2].kind, NodeKind::kLinear);
  EXPECT_FALSE(nodes[2].bias);
  EXPECT_EQ(nodes[2].act, Activation::kHardSwish);
  EXPECT_TRUE(nodes[3].bias);
  EXPECT_EQ(nodes[3].act, Activation::kNone);
}

TEST(LowerLayerTest, Paddings) {
  Layer layer{.op = Op::kConv,
              .in = {3, 16, 16},
              .out_channels = 8,
              .kernel = 3,
              .stride = 2,
              .padding = Padding::kSame};
  const auto padding = [&] {
    const Node node = LowerLayer(layer, 0, 0, -1).front();
    return std::pair(node.pad_begin, node.pad_end);
  };
  EXPECT_EQ(padding(), std::pair(0, 1));  // TensorFlow: the odd pixel goes to the end
  layer.in.h = layer.in.w = 15;
  EXPECT_EQ(padding(), std::pair(1, 1));
  layer.kernel = 5;
  layer.in.h = layer.in.w = 16;
  EXPECT_EQ(padding(), std::pair(1, 2));
  layer.stride = 1;
  EXPECT_EQ(padding(), std::pair(2, 2));
  layer.padding = Padding::kValid;
  EXPECT_EQ(padding(), std::pair(0, 0));
  layer.padding = Padding::kSymmetric;
  layer.stride = 2;
  EXPECT_EQ(padding(), std::pair(2, 2));
  layer.kernel = 1;
  layer.padding = Padding::kSame;
  layer.stride = 4;
  EXPECT_EQ(padding(), std::pair(0, 0));
}

TEST(TensorsTest, NamesAndShapes) {
  const Graph graph{
      .input = {8, 4, 4},
      .nodes = LowerLayer(
          {.op = Op::kIrb, .in = {8, 4, 4}, .out_channels = 6, .groups = 2, .mid_channels = 16}, 0,
          0, Node::kImage)};
  const std::vector<TensorSpec> tensors = Tensors(graph);
  ASSERT_EQ(tensors.size(), 15u);
  EXPECT_EQ(tensors[0].name, "l00.expand.weight");
  EXPECT_THAT(tensors[0].shape, ElementsAre(16, 4, 1, 1));
  EXPECT_EQ(tensors[3].name, "l00.expand.bn.mean");
  EXPECT_FALSE(tensors[3].trainable);
  EXPECT_EQ(tensors[5].name, "l00.depthwise.weight");
  EXPECT_THAT(tensors[5].shape, ElementsAre(16, 1, 3, 3));
  EXPECT_THAT(tensors[10].shape, ElementsAre(6, 8, 1, 1));
}

// Over every known network at several sizes: shapes chain along the edges, names are unique,
// parameters add up.
class GraphPropertyTest : public ::testing::TestWithParam<int> {};

TEST_P(GraphPropertyTest, HoldsForTheZoo) {
  for (const ZooEntry& entry : Zoo()) {
    SCOPED_TRACE(entry.name);
    const Network network = ZooNetwork(entry.name, {.resolution = GetParam(), .classes = 37});
    const Graph graph = Lower(network);
    std::set<std::string> names;
    int64_t macs = 0;
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      const Node& node = graph.nodes[i];
      EXPECT_TRUE(names.insert(node.name).second) << node.name;
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        ASSERT_LT(node.inputs[k], static_cast<int>(i));
        const Shape produced =
            node.inputs[k] < 0 ? graph.input : graph.nodes[static_cast<size_t>(node.inputs[k])].out;
        const bool gate = node.kind == NodeKind::kScale && k == 1;
        EXPECT_EQ(produced, gate ? (Shape{node.in.c, 1, 1}) : node.in) << node.name;
      }
      const int padded = node.in.h + node.pad_begin + node.pad_end;
      if (node.kind == NodeKind::kConv) {
        EXPECT_EQ(node.out.h, (padded - node.kernel) / node.stride + 1) << node.name;
      }
      if (node.kind == NodeKind::kConv || node.kind == NodeKind::kLinear) {
        macs += int64_t{node.in.c} / node.groups * node.kernel * node.kernel * node.out.c *
                node.out.h * node.out.w;
      }
    }
    EXPECT_EQ(graph.nodes.back().out, (Shape{37, 1, 1}));
    int64_t params = 0;
    for (const TensorSpec& tensor : Tensors(graph)) {
      int64_t size = tensor.trainable ? 1 : 0;
      for (int64_t extent : tensor.shape) size *= extent;
      params += size;
    }
    EXPECT_EQ(Count(network).params, params);
    EXPECT_EQ(Count(network).macs, macs);
  }
}

INSTANTIATE_TEST_SUITE_P(Resolutions, GraphPropertyTest, ::testing::Values(64, 97, 224, 384));

}  // namespace
}  // namespace lathe::net
