// What an int8 model needs to know of the values inside a network, and how they become integers.
// Activations: uint8 with a scale and a zero point per tensor. Weights: int8, symmetric, a scale
// per output channel. That is what both OpenVINO's low precision transformations (a convolution
// takes uint8 on processors without AMX) and ONNX Runtime's static quantiser ask for. Processors
// without VNNI add pairs of products in 16 bits, which can saturate. Finding the ranges on real
// images, calibration, is not done here.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/graph.h"

namespace lathe::onnx {

// The key of the network's input in Quantization.
inline constexpr std::string_view kImageName = "image";

struct Range {
  float low = 0, high = 0;
  bool operator==(const Range&) const = default;
};

// The range of each node's output, after its activation, by the node's name (net/graph.h). More
// nodes than needed do no harm.
using Quantization = std::map<std::string, Range, std::less<>>;

// The nodes, kImageName among them, whose ranges an int8 model needs, in the order they run: what
// calibration has to observe. Inputs of convolutions and linear layers, both inputs of a shortcut's
// addition, and what a squeeze-and-excitation averages and scales. Its gate stays float, as Intel's
// quantiser (NNCF) leaves it.
std::vector<std::string> QuantizedNodes(const net::Graph& graph);

// Ranges for networks that are only timed: typical ones for each kind of node and activation. The
// engine does the same work as with calibrated ranges, but the logits are not worth anything.
Quantization NominalRanges(const net::Graph& graph);

// Whether `node` reads its input `index` in int8.
bool ReadsQuantized(const net::Node& node, size_t index);

// real = scale * (integer - zero_point)
struct ActivationScale {
  float scale = 1;
  uint8_t zero_point = 0;
};
// For the range of `name`, widened to hold zero, which must be exact because padding is zero; a
// node that is always zero has scale 1. Throws kInput, naming the node, when it has no range or one
// that is empty or not finite.
ActivationScale ScaleOf(const Quantization& quantization, const std::string& name);

struct QuantizedWeight {
  std::vector<int8_t> values;
  std::vector<float> scales;  // one per output channel, never zero; real = scale * integer
};
// `weight`: finite, {channels, ...} packed.
QuantizedWeight QuantizeWeight(std::span<const float> weight, size_t channels);

}  // namespace lathe::onnx
