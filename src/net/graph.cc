#include "net/graph.h"

#include <algorithm>

#include "base/error.h"

namespace lathe::net {
namespace {

// Appends the nodes of one layer. `last_` is the node whose output the next one reads.
class LayerBuilder {
 public:
  LayerBuilder(const Layer& layer, int layer_index, int first_node, int input_node)
      : layer_(layer),
        index_(layer_index),
        first_(first_node),
        input_(input_node),
        last_(input_node),
        shape_(layer.in) {}

  std::vector<Node> Build() {
    switch (layer_.op) {
      case Op::kConv:
        Spatial("conv", layer_.out_channels, layer_.groups);
        break;
      case Op::kFusedIrb:
        Spatial("expand", layer_.mid_channels, 1);
        Finish();
        break;
      case Op::kIrb:
        if (layer_.expand) Pointwise("expand", layer_.mid_channels, layer_.act);
        Spatial("depthwise", layer_.mid_channels, layer_.mid_channels);
        Finish();
        break;
      case Op::kTail:
        Tail();
        return std::move(nodes_);
    }
    if (layer_.residual) {
      Node& add = Append(NodeKind::kAdd, "add", shape_);
      add.inputs.push_back(input_);
    }
    return std::move(nodes_);
  }

 private:
  Node& Append(NodeKind kind, std::string_view part, Shape out) {
    Node& node = nodes_.emplace_back();
    node.kind = kind;
    node.name = fmt::format("l{:02}.{}", index_, part);
    node.layer = index_;
    node.inputs = {last_};
    node.in = shape_;
    node.out = out;
    last_ = first_ + static_cast<int>(nodes_.size()) - 1;
    shape_ = out;
    return node;
  }

  void Norm(Node& node) const {
    node.batch_norm = true;
    node.bn_eps = layer_.bn_eps;
  }

  // The layer's k x k convolution, which carries its stride and padding.
  void Spatial(std::string_view part, int out_channels, int groups) {
    const Shape in = shape_;
    const Shape out = layer_.out();
    Node& node = Append(NodeKind::kConv, part, {out_channels, out.h, out.w});
    node.kernel = layer_.kernel;
    node.stride = layer_.stride;
    node.groups = groups;
    node.act = layer_.act;
    Norm(node);
    if (layer_.padding == Padding::kSymmetric) {
      node.pad_begin = node.pad_end = layer_.kernel / 2;
    } else if (layer_.padding == Padding::kSame) {
      const int total = std::max(0, (out.h - 1) * layer_.stride + layer_.kernel - in.h);
      node.pad_begin = total / 2;
      node.pad_end = total - node.pad_begin;
    }
  }

  void Pointwise(std::string_view part, int out_channels, Activation act) {
    Node& node = Append(NodeKind::kConv, part, {out_channels, shape_.h, shape_.w});
    node.groups = layer_.groups;
    node.act = act;
    Norm(node);
  }

  // What both inverted bottlenecks end with: squeeze-and-excitation and the projection.
  void Finish() {
    if (layer_.se_channels > 0) SqueezeExcite();
    Pointwise("project", layer_.out_channels, Activation::kNone);
  }

  void SqueezeExcite() {
    const int features = last_;
    const Shape shape = shape_;
    Append(NodeKind::kPool, "se.pool", {shape.c, 1, 1});
    Gate("se.reduce", layer_.se_channels, layer_.se_act);
    Gate("se.expand", shape.c, layer_.se_gate);
    const int gate = last_;
    last_ = features;
    shape_ = shape;
    Append(NodeKind::kScale, "se.scale", shape).inputs.push_back(gate);
  }

  void Gate(std::string_view part, int out_channels, Activation act) {
    Node& node = Append(NodeKind::kConv, part, {out_channels, 1, 1});
    node.bias = true;
    node.act = act;
  }

  void Tail() {
    Pointwise("conv", layer_.mid_channels, layer_.act);
    Append(NodeKind::kPool, "pool", {layer_.mid_channels, 1, 1});
    if (layer_.hidden_channels > 0) {
      Node& hidden = Append(NodeKind::kLinear, "hidden", {layer_.hidden_channels, 1, 1});
      hidden.bias = layer_.hidden_bias;
      hidden.act = layer_.hidden_act;
    }
    Append(NodeKind::kLinear, "classifier", {layer_.out_channels, 1, 1}).bias = true;
  }

  const Layer& layer_;
  const int index_;
  const int first_;
  const int input_;
  int last_;
  Shape shape_;
  std::vector<Node> nodes_;
};

}  // namespace

std::vector<Node> LowerLayer(const Layer& layer, int layer_index, int first_node, int input_node) {
  return LayerBuilder(layer, layer_index, first_node, input_node).Build();
}

Graph Lower(const Network& network) {
  Validate(network);
  Graph graph;
  graph.input = network.input;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const int first =
        static_cast<int>(graph.nodes.size());  // the node before it is the layer's input
    std::vector<Node> nodes = LowerLayer(network.layers[i], static_cast<int>(i), first,
                                         first == 0 ? Node::kImage : first - 1);
    std::move(nodes.begin(), nodes.end(), std::back_inserter(graph.nodes));
  }
  return graph;
}

std::vector<TensorSpec> Tensors(const Graph& graph) {
  std::vector<TensorSpec> tensors;
  for (const Node& node : graph.nodes) {
    const auto add = [&](std::string_view part, std::vector<int64_t> shape, bool trainable = true) {
      tensors.push_back({fmt::format("{}.{}", node.name, part), std::move(shape), trainable});
    };
    if (node.kind == NodeKind::kConv) {
      add("weight", {node.out.c, node.in.c / node.groups, node.kernel, node.kernel});
    } else if (node.kind == NodeKind::kLinear) {
      add("weight", {node.out.c, node.in.c});
    }
    if (node.bias) add("bias", {node.out.c});
    if (node.batch_norm) {
      add("bn.weight", {node.out.c});
      add("bn.bias", {node.out.c});
      add("bn.mean", {node.out.c}, false);
      add("bn.var", {node.out.c}, false);
    }
  }
  return tensors;
}

}  // namespace lathe::net
