#include "onnx/quantize.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lathe::onnx {
namespace {

using net::Activation;
using net::Node;
using net::NodeKind;

constexpr float kUint8Most = 255;
constexpr float kInt8Most = 127;

// Below this a tensor or channel counts as all zero and gets scale 1. The product of an
// activation's and a weight's scale must stay a normal number: OpenVINO leaves convolutions in
// float where it is denormal.
constexpr float kLeastScale = 1e-18f;

float SafeScale(float scale) { return scale < kLeastScale ? 1.0f : scale; }

// The smallest values of swish and hard-swish, and six standard deviations of whatever else. The
// range of kNone is not symmetric on purpose: nor are those of real images, and engines have a
// shorter way for ranges that are.
Range NominalRange(Activation act) {
  switch (act) {
    case Activation::kNone:
      return {-5.5f, 6.0f};
    case Activation::kRelu:
    case Activation::kRelu6:
      return {0.0f, 6.0f};
    case Activation::kSwish:
      return {-0.2785f, 6.0f};
    case Activation::kHardSwish:
      return {-0.375f, 6.0f};
    case Activation::kSigmoid:
    case Activation::kHardSigmoid:
      return {0.0f, 1.0f};
  }
  throw Error(ErrorKind::kInternal, "no nominal range of activation {}", static_cast<int>(act));
}

}  // namespace

std::string_view Name(ActivationType type) {
  return type == ActivationType::kInt8 ? "int8" : "uint8";
}

std::string InputName(const net::Graph& graph, const Node& node, size_t index) {
  const int input = node.inputs.at(index);
  return input == Node::kImage ? std::string(kImageName)
                               : graph.nodes.at(static_cast<size_t>(input)).name;
}

bool ReadsQuantized(const Node& node, size_t index) {
  switch (node.kind) {
    case NodeKind::kConv:
      return node.name.find(".se.") == std::string::npos;
    case NodeKind::kLinear:
    case NodeKind::kAdd:
      return true;
    case NodeKind::kPool:
    case NodeKind::kScale:
      return node.name.find(".se.") != std::string::npos && index == 0;
  }
  throw Error(ErrorKind::kInternal, "node {} is of no kind", node.name);
}

std::vector<std::string> QuantizedNodes(const net::Graph& graph) {
  std::set<std::string> read;
  for (const Node& node : graph.nodes) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (ReadsQuantized(node, i)) read.insert(InputName(graph, node, i));
    }
  }
  std::vector<std::string> names;
  if (read.contains(std::string(kImageName))) names.emplace_back(kImageName);
  for (const Node& node : graph.nodes) {
    if (read.contains(node.name)) names.push_back(node.name);
  }
  return names;
}

Ranges NominalRanges(const net::Graph& graph) {
  Ranges ranges = {{std::string(kImageName), {-2.1f, 2.6f}}};  // normalised pixels
  for (const Node& node : graph.nodes) {
    Range range = NominalRange(node.act);
    const Range first = ranges.at(InputName(graph, node, 0));
    if (node.kind == NodeKind::kPool || node.kind == NodeKind::kScale) {
      range = first;
    } else if (node.kind == NodeKind::kAdd) {
      const Range second = ranges.at(InputName(graph, node, 1));
      range = {first.low + second.low, first.high + second.high};
    }
    ranges[node.name] = range;
  }
  return ranges;
}

ActivationScale ScaleOf(const Ranges& ranges, const std::string& name, ActivationType type) {
  const auto found = ranges.find(name);
  if (found == ranges.end()) {
    throw Error(ErrorKind::kInput, "ONNX export: int8 needs the range of '{}', which is missing",
                name);
  }
  const auto [low, high] = found->second;
  if (!std::isfinite(low) || !std::isfinite(high) || low > high) {
    throw Error(ErrorKind::kInput, "ONNX export: the range of '{}', {} to {}, is {}", name, low,
                high, low > high ? "empty" : "not finite");
  }
  if (type == ActivationType::kInt8) {
    return {.scale = SafeScale(std::max(std::abs(low), std::abs(high)) / kInt8Most),
            .zero_point = 0};
  }
  const float least = std::min(low, 0.0f);
  // Divided first, so that the difference of two huge numbers does not overflow.
  const float scale = SafeScale(std::max(high, 0.0f) / kUint8Most - least / kUint8Most);
  const float zero = std::clamp(std::nearbyint(-least / scale), 0.0f, kUint8Most);
  return {.scale = scale, .zero_point = static_cast<int>(zero)};
}

QuantizedWeight QuantizeWeight(std::span<const float> weight, size_t channels) {
  QuantizedWeight quantized;
  quantized.values.reserve(weight.size());
  const size_t size = weight.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    const std::span<const float> channel = weight.subspan(c * size, size);
    float most = 0;
    for (const float value : channel) most = std::max(most, std::abs(value));
    const float scale = SafeScale(most / kInt8Most);
    quantized.scales.push_back(scale);
    for (const float value : channel) {
      quantized.values.push_back(
          static_cast<int8_t>(std::clamp(std::nearbyint(value / scale), -kInt8Most, kInt8Most)));
    }
  }
  return quantized;
}

}  // namespace lathe::onnx
