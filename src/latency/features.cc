#include "latency/features.h"

#include <algorithm>
#include <cmath>

#include "latency/part.h"
#include "latency/work_costs.h"
#include "net/graph.h"

namespace lathe::latency {

Work WorkOf(const net::Layer& layer) {
  Work work;
  for (const net::Node& node : net::LowerLayer(layer, 0, 0, net::Node::kImage)) {
    const double in = Values(node.in);
    const double out = Values(node.out);
    work.mid = std::max({work.mid, in, out});
    if (node.kind == net::NodeKind::kAdd) {
      work.activations += in;
      continue;
    }
    work.nodes += 1;
    work.activations += in + out;
    if (node.kind != net::NodeKind::kConv && node.kind != net::NodeKind::kLinear) continue;
    const double per_output = double{1} * node.in.c / node.groups * node.kernel * node.kernel;
    work.weights += per_output * node.out.c;
    const bool depthwise = node.groups > 1 && node.groups == node.in.c;
    (depthwise ? work.depthwise_macs : work.dense_macs) += per_output * out;
  }
  return work;
}

Eigen::Matrix<double, kWorkTerms, 1> WorkTerms(const Work& work) {
  return {work.dense_macs, work.depthwise_macs, work.weights, work.activations, work.nodes};
}

Eigen::VectorXd Features(const net::Layer& layer, const Work& work) {
  constexpr int kActivations = static_cast<int>(net::Activation::kHardSigmoid) + 1;
  const net::Shape out = layer.out();
  const int mid = std::max(layer.mid_channels, 1);
  std::vector<double> f = {
      std::log(work.dense_macs + 1),
      std::log(work.depthwise_macs + 1),
      std::log(work.weights + 1),
      std::log(work.activations + 1),
      std::log(work.mid + 1),
      std::log(Values(layer.in)),
      std::log(Values(out)),
      std::log(double{1} * layer.in.h * layer.in.w),
      std::log(layer.in.c),
      std::log(mid),
      std::log(layer.out_channels),
      std::log(layer.kernel),
      std::log(layer.stride),
      std::log(layer.groups),
      std::log(layer.se_channels + 1),
      layer.se_channels > 0 ? 1.0 : 0.0,
      layer.residual ? 1.0 : 0.0,
      layer.expand ? 1.0 : 0.0,
      std::log(layer.hidden_channels + 1),
      Waste(layer.in.w, 8),
  };
  for (const int channels : {layer.in.c, mid, layer.out_channels}) {
    for (const int lanes : {8, 16}) f.push_back(Waste(channels, lanes));
  }
  const size_t first_activation = f.size();
  f.resize(first_activation + kActivations, 0.0);
  f[first_activation + static_cast<size_t>(layer.act)] = 1;
  return Eigen::Map<const Eigen::VectorXd>(f.data(), static_cast<Eigen::Index>(f.size()));
}

}  // namespace lathe::latency
