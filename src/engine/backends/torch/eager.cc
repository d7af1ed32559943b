#include "engine/backends/torch/eager.h"

#include <array>

#include "base/error.h"
#include "onnx/fold.h"

namespace lathe::engine {
namespace {

using net::Activation;
using net::Node;
using net::NodeKind;

at::Tensor Activate(Activation act, at::Tensor x) {
  switch (act) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return at::relu_(x);
    case Activation::kRelu6:
      return at::clamp_(x, 0, 6);
    case Activation::kSwish:
      return at::silu_(x);
    case Activation::kHardSwish:
      return at::hardswish_(x);
    case Activation::kSigmoid:
      return at::sigmoid_(x);
    case Activation::kHardSigmoid:
      return at::hardsigmoid_(x);
  }
  throw Error(ErrorKind::kInternal, "unknown activation {}", static_cast<int>(act));
}

at::Tensor Convolve(const Step& step, const at::Tensor& x) {
  const Node& node = step.node;
  const std::array<int64_t, 2> stride = {node.stride, node.stride};
  const std::array<int64_t, 2> dilation = {1, 1};
  const std::array<int64_t, 4> sides = {node.pad_begin, node.pad_end, node.pad_begin, node.pad_end};
  const bool even = node.pad_begin == node.pad_end;
  const int64_t pad = even ? node.pad_begin : 0;
  const std::array<int64_t, 2> padding = {pad, pad};
  const at::Tensor padded = even ? x : at::constant_pad_nd(x, sides);
  return at::conv2d(padded, step.weight, step.bias, stride, padding, dilation, node.groups);
}

}  // namespace

at::Tensor ToTensor(std::span<const float> values, at::IntArrayRef shape,
                    const at::TensorOptions& options) {
  const at::Tensor view =
      at::from_blob(const_cast<float*>(values.data()), shape, at::TensorOptions(at::kFloat));
  const auto format =
      shape.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return view.clone(format).to(options);
}

at::Tensor Step::Run(const at::Tensor& a, const at::Tensor& b) const {
  switch (node.kind) {
    case NodeKind::kConv:
      return Activate(node.act, Convolve(*this, a));
    case NodeKind::kPool:
      return a.mean({2, 3}, true);
    case NodeKind::kScale:
      return a * b;
    case NodeKind::kAdd:
      return Activate(node.act, a + b);
    case NodeKind::kLinear:
      return Activate(node.act, at::linear(a.flatten(1), weight, bias));
  }
  throw Error(ErrorKind::kInternal, "unknown node kind {}", static_cast<int>(node.kind));
}

std::vector<Step> BuildSteps(const net::Graph& graph, const net::Weights& weights,
                             const at::TensorOptions& options) {
  std::vector<Step> steps;
  std::vector<size_t> last_reader(graph.nodes.size());
  for (const Node& node : graph.nodes) {
    for (int input : node.inputs) {
      if (input != Node::kImage) last_reader[static_cast<size_t>(input)] = steps.size();
    }
    Step& step = steps.emplace_back();
    step.node = node;
    const auto vector = [&](const std::vector<float>& values) {
      return values.empty() ? at::Tensor() : ToTensor(values, {node.out.c}, options);
    };
    if (node.kind == NodeKind::kConv) {
      const onnx::FoldedConv conv = onnx::FoldBatchNorm(node, weights);
      step.weight = ToTensor(
          conv.weight, {node.out.c, node.in.c / node.groups, node.kernel, node.kernel}, options);
      step.bias = vector(conv.bias);
    } else if (node.kind == NodeKind::kLinear) {
      step.weight =
          ToTensor(weights.at(node.name + ".weight").values, {node.out.c, node.in.c}, options);
      if (node.bias) step.bias = vector(weights.at(node.name + ".bias").values);
    }
  }
  for (size_t i = 0; i + 1 < last_reader.size(); ++i) {
    steps[last_reader[i]].dead.push_back(static_cast<int>(i));
  }
  return steps;
}

}  // namespace lathe::engine
