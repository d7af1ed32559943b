#include "onnx/bias_correction.h"

#include "base/error.h"
#include "onnx/fold.h"
#include "onnx/quantize.h"

namespace lathe::onnx {
namespace {

using net::Node;
using net::NodeKind;

const std::vector<double>& InputMeans(const net::Graph& graph, const Node& node,
                                      const ChannelMeans& means) {
  const std::string name = InputName(graph, node, 0);
  const auto found = means.find(name);
  if (found == means.end() || found->second.size() != static_cast<size_t>(node.in.c)) {
    throw Error(ErrorKind::kInput, "bias correction of '{}': no means of the {} channels of '{}'",
                node.name, node.in.c, name);
  }
  return found->second;
}

std::vector<float> ShiftsOf(const Node& node, const std::vector<float>& weight,
                            const std::vector<double>& means) {
  const auto channels = static_cast<size_t>(node.out.c);
  const QuantizedWeight rounded = QuantizeWeight(weight, channels);
  const size_t per_channel = weight.size() / channels;
  const auto taps = static_cast<size_t>(node.kernel * node.kernel);
  const auto group_outputs = static_cast<size_t>(node.out.c / node.groups);
  const size_t group_inputs = per_channel / taps;
  std::vector<float> shifts;
  for (size_t c = 0; c < channels; ++c) {
    double shift = 0;
    for (size_t i = 0; i < per_channel; ++i) {
      const size_t at = c * per_channel + i;
      const double error =
          static_cast<double>(weight[at]) -
          static_cast<double>(rounded.scales[c]) * static_cast<double>(rounded.values[at]);
      shift += error * means[c / group_outputs * group_inputs + i / taps];
    }
    shifts.push_back(static_cast<float>(shift));
  }
  return shifts;
}

}  // namespace

std::map<std::string, std::vector<float>, std::less<>> BiasShifts(const net::Graph& graph,
                                                                  const net::Weights& weights,
                                                                  const ChannelMeans& means) {
  std::map<std::string, std::vector<float>, std::less<>> shifts;
  for (const Node& node : graph.nodes) {
    const bool conv = node.kind == NodeKind::kConv;
    if ((!conv && node.kind != NodeKind::kLinear) || !ReadsQuantized(node, 0)) continue;
    const std::vector<float> weight =
        conv ? FoldBatchNorm(node, weights).weight : weights.at(node.name + ".weight").values;
    shifts[node.name] = ShiftsOf(node, weight, InputMeans(graph, node, means));
  }
  return shifts;
}

}  // namespace lathe::onnx
