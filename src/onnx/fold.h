// Batch norm folded into the convolution before it, as inference engines want their weights.
#pragma once

#include <vector>

#include "net/graph.h"
#include "net/weights.h"

namespace lathe::onnx {

struct FoldedConv {
  std::vector<float> weight;  // {out, in / groups, k, k}
  std::vector<float> bias;    // {out}; empty: none
};

// The weights of a kConv node with y = (conv(x) + bias - mean) * gamma / sqrt(var + eps) + beta as
// one convolution. Computed in double precision.
FoldedConv FoldBatchNorm(const net::Node& node, const net::Weights& weights);

}  // namespace lathe::onnx
