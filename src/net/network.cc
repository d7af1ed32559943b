#include "net/network.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "net/graph.h"

namespace lathe::net {
namespace {

// Output rows (or columns) of a k x k convolution.
int OutSize(int size, int kernel, int stride, Padding padding) {
  if (stride < 1) return 0;  // an invalid layer, which Validate names
  if (padding == Padding::kSame) return (size + stride - 1) / stride;
  const int padded = padding == Padding::kValid ? size : size + 2 * (kernel / 2);
  return padded < kernel ? 0 : (padded - kernel) / stride + 1;
}

}  // namespace

std::string_view Name(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kRelu:
      return "relu";
    case Activation::kRelu6:
      return "relu6";
    case Activation::kSwish:
      return "swish";
    case Activation::kHardSwish:
      return "hard_swish";
    case Activation::kSigmoid:
      return "sigmoid";
    case Activation::kHardSigmoid:
      return "hard_sigmoid";
  }
  throw Error(ErrorKind::kInternal, "activation {} has no name", static_cast<int>(activation));
}

std::string_view Name(Op op) {
  switch (op) {
    case Op::kConv:
      return "conv";
    case Op::kFusedIrb:
      return "fused_irb";
    case Op::kIrb:
      return "irb";
    case Op::kTail:
      return "tail";
  }
  throw Error(ErrorKind::kInternal, "operation {} has no name", static_cast<int>(op));
}

std::string_view Name(Padding padding) {
  switch (padding) {
    case Padding::kSymmetric:
      return "symmetric";
    case Padding::kSame:
      return "same";
    case Padding::kValid:
      return "valid";
  }
  throw Error(ErrorKind::kInternal, "padding {} has no name", static_cast<int>(padding));
}

Shape Layer::out() const {
  if (op == Op::kTail) return {out_channels, 1, 1};
  return {out_channels, OutSize(in.h, kernel, stride, padding),
          OutSize(in.w, kernel, stride, padding)};
}

int Network::num_classes() const { return layers.empty() ? 0 : layers.back().out_channels; }

Costs Count(const Layer& layer) {
  Costs costs;
  Graph graph;
  graph.nodes = LowerLayer(layer, 0, 0, Node::kImage);
  for (const TensorSpec& tensor : Tensors(graph)) {
    if (!tensor.trainable) continue;
    int64_t size = 1;
    for (int64_t extent : tensor.shape) size *= extent;
    costs.params += size;
  }
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kConv && node.kind != NodeKind::kLinear) continue;
    const int64_t per_output = int64_t{node.in.c} / node.groups * node.kernel * node.kernel;
    costs.macs += per_output * node.out.c * node.out.h * node.out.w;
  }
  return costs;
}

Costs Count(const Network& network) {
  Validate(network);
  Costs total;
  for (const Layer& layer : network.layers) {
    const Costs costs = Count(layer);
    total.params += costs.params;
    total.macs += costs.macs;
  }
  return total;
}

Network WithInput(const Network& network, Shape input) {
  if (input.c < 1 || input.h < 1 || input.w < 1) {
    throw Error(ErrorKind::kInput,
                "network '{}': an input of {}x{}x{} (channels x height x width) is empty",
                network.name, input.c, input.h, input.w);
  }
  Network result = network;
  result.input = input;
  Shape shape = input;
  for (size_t i = 0; i < result.layers.size(); ++i) {
    Layer& layer = result.layers[i];
    layer.in = shape;
    shape = layer.out();
    if (shape.h < 1 || shape.w < 1) {
      throw Error(ErrorKind::kInput,
                  "network '{}' cannot take {}x{} pixels: layer {} ({}) would get {}x{}, too small "
                  "for its kernel of {}",
                  network.name, input.h, input.w, i, Name(layer.op), layer.in.h, layer.in.w,
                  layer.kernel);
    }
  }
  Validate(result);
  return result;
}

Network WithClasses(const Network& network, int classes) {
  Network result = network;
  if (!result.layers.empty()) result.layers.back().out_channels = classes;
  Validate(result);
  return result;
}

int RoundChannels(double value, int divisor) {
  const int steps = static_cast<int>((value + static_cast<double>(divisor / 2)) / divisor);
  const int rounded = std::max(divisor, steps * divisor);
  return rounded < 0.9 * value ? rounded + divisor : rounded;
}

}  // namespace lathe::net
