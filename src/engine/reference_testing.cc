#include "engine/reference_testing.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "net/graph.h"

namespace lathe::engine {
namespace {

using net::Activation;
using net::Layer;
using net::Node;
using net::NodeKind;
using net::Op;
using net::Shape;

size_t Size(const Shape& shape) {
  return static_cast<size_t>(shape.c) * static_cast<size_t>(shape.h) * static_cast<size_t>(shape.w);
}

// A feature map in double precision.
struct Map {
  Shape shape;
  std::vector<double> values;
  double& at(int c, int y, int x) {
    return values[static_cast<size_t>((c * shape.h + y) * shape.w + x)];
  }
  double at(int c, int y, int x) const { return const_cast<Map*>(this)->at(c, y, x); }
};

double Activate(Activation act, double x) {
  const double hard_sigmoid = std::clamp(x / 6 + 0.5, 0.0, 1.0);
  switch (act) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kRelu6:
      return std::clamp(x, 0.0, 6.0);
    case Activation::kSwish:
      return x / (1 + std::exp(-x));
    case Activation::kHardSwish:
      return x * hard_sigmoid;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kHardSigmoid:
      return hard_sigmoid;
  }
  return std::nan("");
}

// One output value of a convolution, before bias and norm; (y, x) is the output's position.
double Dot(const Node& node, const Map& in, const std::vector<float>& weight, int channel, int y,
           int x) {
  const int group_inputs = node.in.c / node.groups;
  const int first_input = channel / (node.out.c / node.groups) * group_inputs;
  double sum = 0;
  for (int i = 0; i < group_inputs; ++i) {
    for (int ky = 0; ky < node.kernel; ++ky) {
      for (int kx = 0; kx < node.kernel; ++kx) {
        const int in_y = y * node.stride + ky - node.pad_begin;
        const int in_x = x * node.stride + kx - node.pad_begin;
        if (in_y < 0 || in_y >= node.in.h || in_x < 0 || in_x >= node.in.w) continue;
        const int index = ((channel * group_inputs + i) * node.kernel + ky) * node.kernel + kx;
        sum += weight[static_cast<size_t>(index)] * in.at(first_input + i, in_y, in_x);
      }
    }
  }
  return sum;
}

// kConv, and kLinear as the 1x1 convolution that it is.
Map Convolve(const Node& node, const Map& in, const net::Weights& weights) {
  Map out{node.out, std::vector<double>(Size(node.out))};
  const auto tensor = [&](const char* part, int c) {
    return static_cast<double>(weights.at(node.name + part).values[static_cast<size_t>(c)]);
  };
  const std::vector<float>& weight = weights.at(node.name + ".weight").values;
  for (int c = 0; c < node.out.c; ++c) {
    for (int y = 0; y < node.out.h; ++y) {
      for (int x = 0; x < node.out.w; ++x) {
        double value = Dot(node, in, weight, c, y, x);
        if (node.bias) value += tensor(".bias", c);
        if (node.batch_norm) {
          value = (value - tensor(".bn.mean", c)) / std::sqrt(tensor(".bn.var", c) + node.bn_eps) *
                      tensor(".bn.weight", c) +
                  tensor(".bn.bias", c);
        }
        out.at(c, y, x) = value;
      }
    }
  }
  return out;
}

Map Pool(const Map& in) {
  Map out{{in.shape.c, 1, 1}, std::vector<double>(static_cast<size_t>(in.shape.c))};
  const int area = in.shape.h * in.shape.w;
  for (int c = 0; c < in.shape.c; ++c) {
    for (int i = 0; i < area; ++i) out.at(c, 0, 0) += in.at(c, 0, i) / area;
  }
  return out;
}

Map Evaluate(const Node& node, const std::vector<const Map*>& in, const net::Weights& weights) {
  Map out = *in[0];
  switch (node.kind) {
    case NodeKind::kConv:
    case NodeKind::kLinear:
      out = Convolve(node, *in[0], weights);
      break;
    case NodeKind::kPool:
      out = Pool(*in[0]);
      break;
    case NodeKind::kScale:
      for (size_t i = 0; i < out.values.size(); ++i) {
        out.values[i] *= in[1]->values[i / static_cast<size_t>(out.shape.h * out.shape.w)];
      }
      break;
    case NodeKind::kAdd:
      for (size_t i = 0; i < out.values.size(); ++i) out.values[i] += in[1]->values[i];
      break;
  }
  for (double& value : out.values) value = Activate(node.act, value);
  return out;
}

// Outputs of every node, for image `index`.
std::vector<Map> EvaluateAll(const net::Graph& graph, const net::Weights& weights,
                             std::span<const float> images, int index) {
  const size_t size = Size(graph.input);
  const std::span<const float> pixels = images.subspan(static_cast<size_t>(index) * size, size);
  const Map image{graph.input, {pixels.begin(), pixels.end()}};
  std::vector<Map> maps;
  maps.reserve(graph.nodes.size());
  for (const Node& node : graph.nodes) {
    std::vector<const Map*> inputs;
    for (int input : node.inputs) {
      inputs.push_back(input == Node::kImage ? &image : &maps[static_cast<size_t>(input)]);
    }
    maps.push_back(Evaluate(node, inputs, weights));
  }
  return maps;
}

}  // namespace

net::Network EveryOpNetwork() {
  net::Network network;
  network.name = "every-op";
  network.input = {3, 18, 16};  // even, so that SAME pads unevenly
  const auto add = [&](Layer layer) {
    layer.in = network.layers.empty() ? network.input : network.layers.back().out();
    layer.stage = static_cast<int>(network.layers.size());
    network.layers.push_back(layer);
  };
  add({.op = Op::kConv,
       .in = {},
       .out_channels = 8,
       .stride = 2,
       .act = Activation::kSwish,
       .padding = net::Padding::kSame});
  add({.op = Op::kConv,
       .in = {},
       .out_channels = 8,
       .groups = 2,
       .act = Activation::kRelu6,
       .residual = true});
  add({.op = Op::kFusedIrb,
       .in = {},
       .out_channels = 12,
       .kernel = 5,
       .stride = 2,
       .mid_channels = 16,
       .se_channels = 4,
       .act = Activation::kHardSwish});
  add({.op = Op::kIrb,
       .in = {},
       .out_channels = 12,
       .mid_channels = 24,
       .se_channels = 6,
       .act = Activation::kHardSwish,
       .se_gate = Activation::kHardSigmoid,
       .residual = true});
  add({.op = Op::kIrb,
       .in = {},
       .out_channels = 16,
       .kernel = 5,
       .stride = 2,
       .groups = 2,
       .mid_channels = 24,
       .act = Activation::kSwish});
  add({.op = Op::kIrb,
       .in = {},
       .out_channels = 16,
       .mid_channels = 16,
       .expand = false,
       .se_channels = 4,
       .act = Activation::kRelu,
       .se_act = Activation::kSwish,
       .residual = true});
  add({.op = Op::kTail,
       .in = {},
       .out_channels = 7,
       .mid_channels = 20,
       .act = Activation::kSwish,
       .hidden_channels = 10,
       .hidden_act = Activation::kHardSwish});
  return network;
}

net::Weights BusyWeights(const net::Network& network, uint64_t seed) {
  net::Weights weights = net::RandomWeights(net::Lower(network), seed);
  Random random(SubSeed(seed, "busy"));
  for (auto& [name, tensor] : weights.tensors) {
    const bool positive = name.ends_with(".bn.weight") || name.ends_with(".bn.var");
    if (tensor.shape.size() != 1) continue;
    for (float& value : tensor.values) {
      value = static_cast<float>(positive ? 0.5 + random.Uniform() : 0.3 * random.Normal());
    }
  }
  return weights;
}

std::vector<float> RandomImages(const net::Network& network, int count, uint64_t seed) {
  Random random(seed);
  std::vector<float> images(Size(network.input) * static_cast<size_t>(count));
  for (float& value : images) value = static_cast<float>(random.Normal());
  return images;
}

std::vector<float> ReferenceRun(const net::Network& network, const net::Weights& weights,
                                std::span<const float> images, int count) {
  const net::Graph graph = net::Lower(network);
  std::vector<float> logits;
  for (int i = 0; i < count; ++i) {
    const std::vector<Map> maps = EvaluateAll(graph, weights, images, i);
    for (double value : maps.back().values) logits.push_back(static_cast<float>(value));
  }
  return logits;
}

std::map<std::string, std::pair<float, float>> ReferenceRanges(const net::Network& network,
                                                               const net::Weights& weights,
                                                               std::span<const float> images,
                                                               int count) {
  const net::Graph graph = net::Lower(network);
  std::map<std::string, std::pair<float, float>> ranges;
  const auto add = [&](const std::string& name, const auto& values) {
    const auto [low, high] = std::ranges::minmax(values);
    const std::pair<float, float> range(static_cast<float>(low), static_cast<float>(high));
    const auto [found, _] = ranges.try_emplace(name, range);
    found->second.first = std::min(found->second.first, range.first);
    found->second.second = std::max(found->second.second, range.second);
  };
  add("image", images);
  for (int i = 0; i < count; ++i) {
    const std::vector<Map> maps = EvaluateAll(graph, weights, images, i);
    for (size_t n = 0; n < maps.size(); ++n) add(graph.nodes[n].name, maps[n].values);
  }
  return ranges;
}

double LargestDifference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) {
    throw Error(ErrorKind::kInternal, "comparing {} values with {}", a.size(), b.size());
  }
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    if (std::isnan(difference)) return difference;
    largest = std::max(largest, difference);
  }
  return largest;
}

}  // namespace lathe::engine
