// What an int8 model needs to know of the values inside a network, and how they become integers.
// Activations: a scale per tensor, and a zero point or none. Weights: int8, symmetric, a scale per
// output channel. Processors without VNNI add pairs of products in 16 bits, which can saturate.
// Finding the ranges on real images, calibration, is not done here but in deploy.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/graph.h"

namespace lathe::onnx {

// The key of the network's input in Ranges.
inline constexpr std::string_view kImageName = "image";

struct Range {
  float low = 0, high = 0;
  bool operator==(const Range&) const = default;
};

// The range of each node's output, after its activation, by the node's name (net/graph.h). More
// nodes than needed do no harm.
using Ranges = std::map<std::string, Range, std::less<>>;

enum class ActivationType {
  // With a zero point. A convolution of OpenVINO takes it on processors without AMX, and ONNX
  // Runtime's static quantiser asks for it.
  kUint8,
  // Symmetric, zero point 0: the one that TensorRT takes. Values that are never negative lose a
  // bit.
  kInt8,
};
std::string_view Name(ActivationType type);  // "uint8", "int8"

struct Quantization {
  Ranges ranges;
  ActivationType activations = ActivationType::kUint8;
  std::set<int> float_layers = {};  // indices into Network::layers that stay as they are
  // Added to the bias of a node, by its name and per output channel (onnx/bias_correction.h).
  std::map<std::string, std::vector<float>, std::less<>> bias_shifts = {};
};

// The nodes, kImageName among them, whose ranges an int8 model needs, in the order they run: what
// calibration has to observe. Inputs of convolutions and linear layers, both inputs of a shortcut's
// addition, and what a squeeze-and-excitation averages and scales. Its gate stays float, as Intel's
// quantiser (NNCF) leaves it.
std::vector<std::string> QuantizedNodes(const net::Graph& graph);

// Ranges for networks that are only timed: typical ones for each kind of node and activation. The
// engine does the same work as with calibrated ranges, but the logits are not worth anything.
Ranges NominalRanges(const net::Graph& graph);

// The key in Ranges of what `node` reads as input `index`.
std::string InputName(const net::Graph& graph, const net::Node& node, size_t index);

// Whether `node` reads its input `index` in int8, if its layer is not left in float.
bool ReadsQuantized(const net::Node& node, size_t index);

// real = scale * (integer - zero_point)
struct ActivationScale {
  float scale = 1;
  int zero_point = 0;  // 0 to 255; of kInt8 always 0
};
// For the range of `name`, widened to hold zero, which must be exact because padding is zero; a
// node that is always zero has scale 1. Throws kInput, naming the node, when it has no range or one
// that is empty or not finite.
ActivationScale ScaleOf(const Ranges& ranges, const std::string& name,
                        ActivationType type = ActivationType::kUint8);

struct QuantizedWeight {
  std::vector<int8_t> values;
  std::vector<float> scales;  // one per output channel, never zero; real = scale * integer
};
// `weight`: finite, {channels, ...} packed.
QuantizedWeight QuantizeWeight(std::span<const float> weight, size_t channels);

}  // namespace lathe::onnx
