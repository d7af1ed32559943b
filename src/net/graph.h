// The primitive operations of a network, in the order they run: the one lowering that training,
// ONNX export, cost counting and the engines' per-layer profiles all share. Node names are stable:
// weights are stored and profiles are mapped by them.
#pragma once

#include <string>
#include <vector>

#include "net/network.h"

namespace lathe::net {

enum class NodeKind {
  kConv,    // convolution, optional bias, optional batch norm, activation
  kPool,    // global average pool to 1x1
  kScale,   // inputs[0] * inputs[1] (a {c,1,1} gate), squeeze-and-excitation
  kAdd,     // inputs[0] (the block's path) + inputs[1] (the shortcut)
  kLinear,  // fully connected with optional bias, activation; input and output are {n,1,1}
};

struct Node {
  NodeKind kind = NodeKind::kConv;
  std::string name;  // "l07.expand", unique; prefix "lNN." names the layer. Parts by op:
                     //   conv: l00.conv                     [l00.add]
                     //   fused_irb: expand, se.pool, se.reduce, se.expand, se.scale, project, add
                     //   irb: expand, depthwise, se.*, project, add
                     //   tail: conv, pool, hidden, classifier
  int layer = 0;     // index into Network::layers
  std::vector<int> inputs;  // node indices; kImage for the image
  Shape in, out;
  int kernel = 1, stride = 1, groups = 1;
  int pad_begin = 0, pad_end = 0;  // rows above/below and columns left/right
  bool bias = false;
  bool batch_norm = false;
  float bn_eps = 1e-3f;
  Activation act = Activation::kNone;

  static constexpr int kImage = -1;
};

struct Graph {
  Shape input;
  std::vector<Node> nodes;  // the last one is the output (logits)
};

// Throws kInput if the network is not valid.
Graph Lower(const Network& network);
std::vector<Node> LowerLayer(const Layer& layer, int layer_index, int first_node, int input_node);

// One tensor of a network's state.
struct TensorSpec {
  // Node name + ".weight", ".bias", ".bn.weight", ".bn.bias", ".bn.mean" or ".bn.var".
  std::string name;
  std::vector<int64_t> shape;  // conv: {out, in/groups, k, k}; linear: {out, in}; vectors: {n}
  bool trainable = true;       // bn.mean and bn.var are not
};
// Every tensor, in node order. Params of Costs = the trainable ones.
std::vector<TensorSpec> Tensors(const Graph& graph);

}  // namespace lathe::net
