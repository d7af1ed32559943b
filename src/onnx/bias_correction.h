// What rounding the weights of a quantised network does to the mean of each channel, taken back in
// the biases (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
// Correction", section 4.2). Matters most for depthwise convolutions: few weights per channel,
// whose errors do not cancel.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "net/graph.h"
#include "net/weights.h"

namespace lathe::onnx {

// Mean of each channel of each node's output, by the node's name (kImageName: the image).
using ChannelMeans = std::map<std::string, std::vector<double>, std::less<>>;

// For each convolution and linear layer that reads int8: per output channel, the sum over its
// inputs of (weight - rounded weight) * mean input. Padding counts as if it had the mean, too.
// Throws kInput, naming the node, when the means of its input are missing.
std::map<std::string, std::vector<float>, std::less<>> BiasShifts(const net::Graph& graph,
                                                                  const net::Weights& weights,
                                                                  const ChannelMeans& means);

}  // namespace lathe::onnx
