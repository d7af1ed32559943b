#include "net/weights.h"

#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/random.h"

namespace lathe::net {
namespace {

// Estimated mean and mean square of a node's output for standard normal pre-activations.
struct Moments {
  double mean = 0, square = 1;
};

Moments AfterActivation(Activation act) {
  switch (act) {
    case Activation::kRelu:
    case Activation::kRelu6:
      return {0.40, 0.50};
    case Activation::kSwish:
    case Activation::kHardSwish:
      return {0.21, 0.36};
    case Activation::kSigmoid:
    case Activation::kHardSigmoid:
      return {0.50, 0.29};
    case Activation::kNone:
      break;
  }
  return {};
}

// The weight's scale is chosen from this, so that values stay of order one through any depth: with
// unit norms nothing else keeps a long residual chain inside the range of float16. After a ReLU it
// is He's sqrt(2 / fan_in).
std::vector<Moments> EstimateMoments(const Graph& graph) {
  std::vector<Moments> moments;
  moments.reserve(graph.nodes.size());
  const auto input = [&](const Node& node, size_t i) {
    return node.inputs[i] == Node::kImage ? Moments{}
                                          : moments[static_cast<size_t>(node.inputs[i])];
  };
  for (const Node& node : graph.nodes) {
    const Moments a = input(node, 0);
    switch (node.kind) {
      case NodeKind::kConv:
      case NodeKind::kLinear:
        moments.push_back(AfterActivation(node.act));
        break;
      case NodeKind::kPool:
        // As if averaging changed nothing: how far it narrows the values depends on the weights,
        // and a guess too small saturates the gates of squeeze-and-excitation.
        moments.push_back(a);
        break;
      case NodeKind::kScale: {
        const Moments b = input(node, 1);
        moments.push_back({a.mean * b.mean, a.square * b.square});
        break;
      }
      case NodeKind::kAdd: {
        const Moments b = input(node, 1);
        moments.push_back({a.mean + b.mean, a.square + b.square + 2 * a.mean * b.mean});
        break;
      }
    }
  }
  return moments;
}

// Near-normal: the sum of four uniform 16-bit numbers (Irwin-Hall), scaled to variance one. Much
// faster than exact normal numbers, which matters when a look-up table needs dozens of networks,
// and independent of the machine's math library.
float NearNormal(uint64_t bits) {
  const auto part = [bits](int i) { return static_cast<int>(bits >> (16 * i) & 0xffff); };
  constexpr float kMean = 4 * 32767.5f;
  constexpr float kDeviation = 37837.227f;  // sqrt(4 (65536^2 - 1) / 12)
  return (static_cast<float>(part(0) + part(1) + part(2) + part(3)) - kMean) / kDeviation;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

size_t Size(const std::vector<int64_t>& shape) {
  return static_cast<size_t>(
      std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()));
}

}  // namespace

const Tensor& Weights::at(std::string_view name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end())
    throw Error(ErrorKind::kInput, "the weights have no tensor '{}'", name);
  return found->second;
}

void CheckWeights(const Graph& graph, const Weights& weights) {
  const std::vector<TensorSpec> specs = Tensors(graph);
  for (const TensorSpec& spec : specs) {
    const Tensor& tensor = weights.at(spec.name);
    if (tensor.shape != spec.shape || tensor.values.size() != Size(spec.shape)) {
      throw Error(ErrorKind::kInput,
                  "tensor '{}' should have shape {}, but has shape {} and {} values", spec.name,
                  ShapeText(spec.shape), ShapeText(tensor.shape), tensor.values.size());
    }
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      if (!std::isfinite(tensor.values[i])) {
        throw Error(ErrorKind::kInput, "tensor '{}' is not finite: value {} is {}", spec.name, i,
                    tensor.values[i]);
      }
    }
  }
  if (weights.tensors.size() == specs.size()) return;
  std::set<std::string_view> wanted;
  for (const TensorSpec& spec : specs) wanted.insert(spec.name);
  for (const auto& [name, tensor] : weights.tensors) {
    if (!wanted.contains(name))
      throw Error(ErrorKind::kInput, "tensor '{}' does not belong to this network", name);
  }
}

Weights RandomWeights(const Graph& graph, uint64_t seed) {
  const std::vector<Moments> moments = EstimateMoments(graph);
  Weights weights;
  for (const TensorSpec& spec : Tensors(graph)) {
    const bool ones = spec.name.ends_with(".bn.weight") || spec.name.ends_with(".bn.var");
    weights.tensors[spec.name] = {spec.shape,
                                  std::vector<float>(Size(spec.shape), ones ? 1.0f : 0.0f)};
  }
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kConv && node.kind != NodeKind::kLinear) continue;
    const double square =
        node.inputs[0] == Node::kImage ? 1.0 : moments[static_cast<size_t>(node.inputs[0])].square;
    const double fan_in = static_cast<double>(node.in.c) / node.groups * node.kernel * node.kernel;
    const float deviation = static_cast<float>(std::sqrt(1.0 / (fan_in * square)));
    const std::string name = node.name + ".weight";
    Random random(SubSeed(seed, name));
    for (float& value : weights.tensors.at(name).values) value = NearNormal(random()) * deviation;
  }
  return weights;
}

}  // namespace lathe::net
