// Encoding to network, and the layers of a space one by one.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "space/impl.h"

namespace lathe::space {
namespace {

// The combinations of the values of a stage that a layer depends on.
template <typename Function>
void ForEachValues(const Stage& stage, Function function) {
  for (int filters : stage.filters.values)
    for (int kernel : stage.kernel.values)
      for (int expansion : stage.expansion.values)
        for (int se : stage.se.values)
          for (int activation : stage.activation.values)
            function(StageValues{filters, kernel, expansion, se,
                                 static_cast<net::Activation>(activation), 1});
}

void CheckHead(SearchSpace::Head head) {
  if (head.channels < 1 || head.classes < 1) {
    throw Error(ErrorKind::kInput, "a network needs at least 1 channel and 1 class, not {} and {}",
                head.channels, head.classes);
  }
}

}  // namespace

// The semantics of the GPUNet lists: SE squeezes to a quarter of the layer's input, fused blocks
// pad as TensorFlow does, and only inverted residual blocks have shortcuts.
net::Layer SearchSpace::MakeLayer(size_t stage_index, const StageValues& values, net::Shape in,
                                  bool first) const {
  const Stage& stage = impl_->stages[stage_index];
  net::Layer layer;
  layer.op = stage.op;
  layer.in = in;
  layer.out_channels = values.filters;
  layer.kernel = values.kernel;
  layer.stride = first ? stage.stride : 1;
  layer.act = values.activation;
  layer.bn_eps = 1e-3f;
  layer.stage = static_cast<int>(stage_index);
  if (stage.op == net::Op::kConv) return layer;
  if (stage.op == net::Op::kFusedIrb && layer.stride > 1) layer.padding = impl_->fused_padding;
  layer.mid_channels =
      net::RoundChannels(static_cast<double>(in.c) * values.expansion, impl_->round_channels);
  if (values.se != 0) {
    const double squeezed = std::nearbyint(layer.mid_channels * 0.25 / values.expansion);
    layer.se_channels = std::max(1, static_cast<int>(squeezed));
    layer.se_act = values.activation;
    layer.se_gate = net::Activation::kSigmoid;
  }
  layer.residual = layer.stride == 1 && in.c == layer.out_channels;
  return layer;
}

net::Layer SearchSpace::MakeTail(net::Shape in, int classes) const {
  net::Layer tail;
  tail.op = net::Op::kTail;
  tail.in = in;
  tail.out_channels = classes;
  tail.mid_channels = impl_->tail_width;
  tail.act = impl_->tail_activation;
  tail.stage = static_cast<int>(impl_->stages.size());
  return tail;
}

net::Network SearchSpace::Decode(std::span<const int> encoding, Head head) const {
  Check(encoding);
  CheckHead(head);
  net::Network network;
  const int resolution = impl_->resolution.At(encoding);
  network.name = impl_->name;
  network.input = {head.channels, resolution, resolution};
  net::Shape shape = network.input;
  size_t layers = 1;
  for (const Stage& stage : impl_->stages) layers += static_cast<size_t>(stage.layers.At(encoding));
  network.layers.reserve(layers);
  for (size_t i = 0; i < impl_->stages.size(); ++i) {
    const StageValues values = impl_->stages[i].At(encoding);
    for (int k = 0; k < values.layers; ++k) {
      network.layers.push_back(MakeLayer(i, values, shape, /*first=*/k == 0));
      shape = network.layers.back().out();
    }
  }
  network.layers.push_back(MakeTail(shape, head.classes));
  return network;
}

std::vector<net::Layer> SearchSpace::DistinctLayers(int resolution, Head head) const {
  CheckHead(head);
  std::vector<net::Layer> layers;
  std::set<net::Shape> shapes = {{head.channels, resolution, resolution}};  // into the stage
  for (size_t i = 0; i < impl_->stages.size(); ++i) {
    const Stage& stage = impl_->stages[i];
    const Stage* previous = i > 0 ? &impl_->stages[i - 1] : nullptr;
    const bool keeps_width = previous != nullptr && previous->layers.values.front() > 0 &&
                             stage.filters.gene >= 0 &&
                             stage.filters.gene == previous->filters.gene;
    std::set<net::Shape> outs;
    ForEachValues(stage, [&](const StageValues& values) {
      for (const net::Shape& in : shapes) {
        if (keeps_width && values.filters != in.c) continue;
        layers.push_back(MakeLayer(i, values, in, /*first=*/true));
        outs.insert(layers.back().out());
      }
    });
    ForEachValues(stage, [&](const StageValues& values) {
      for (const net::Shape& in : outs) {
        const bool known = stage.stride == 1 && shapes.contains(in);  // as a first layer
        if (stage.layers.values.back() < 2 || in.c != values.filters || known) continue;
        layers.push_back(MakeLayer(i, values, in, /*first=*/false));
      }
    });
    if (stage.layers.values.front() > 0) shapes.clear();
    shapes.merge(outs);
  }
  for (const net::Shape& in : shapes) layers.push_back(MakeTail(in, head.classes));
  return layers;
}

}  // namespace lathe::space
