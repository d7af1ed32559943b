#include "onnx/fold.h"

#include <cmath>
#include <span>

namespace lathe::onnx {

FoldedConv FoldBatchNorm(const net::Node& node, const net::Weights& weights) {
  FoldedConv conv{.weight = weights.at(node.name + ".weight").values, .bias = {}};
  if (node.bias) conv.bias = weights.at(node.name + ".bias").values;
  if (!node.batch_norm) return conv;
  const std::vector<float>& gamma = weights.at(node.name + ".bn.weight").values;
  const std::vector<float>& beta = weights.at(node.name + ".bn.bias").values;
  const std::vector<float>& mean = weights.at(node.name + ".bn.mean").values;
  const std::vector<float>& var = weights.at(node.name + ".bn.var").values;
  conv.bias.resize(gamma.size(), 0.0f);
  const size_t per_channel = conv.weight.size() / gamma.size();
  for (size_t c = 0; c < gamma.size(); ++c) {
    const double scale = gamma[c] / std::sqrt(static_cast<double>(var[c]) + node.bn_eps);
    for (float& value : std::span(conv.weight).subspan(c * per_channel, per_channel)) {
      value = static_cast<float>(value * scale);
    }
    const double shift = static_cast<double>(conv.bias[c]) - mean[c];
    conv.bias[c] = static_cast<float>(shift * scale + beta[c]);
  }
  return conv;
}

}  // namespace lathe::onnx
