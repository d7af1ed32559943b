// Random networks of a space small enough that a test measures all of it: three resolutions, some
// 200 layer keys.
#pragma once

#include "base/random.h"
#include "net/network.h"

namespace lathe::latency {

inline net::Network TinyNetwork(uint64_t draw) {
  Random random(draw);
  const auto pick = [&random](std::initializer_list<int> choices) {
    return choices.begin()[random.Below(choices.size())];
  };
  net::Network network{.name = "tiny", .input = {1, pick({12, 16, 20}), 0}, .layers = {}};
  network.input.w = network.input.h;
  net::Layer stem{.op = net::Op::kConv,
                  .in = network.input,
                  .out_channels = 8,
                  .kernel = pick({3, 5}),
                  .stride = 2};
  network.layers.push_back(stem);
  for (const net::Op op : {net::Op::kFusedIrb, net::Op::kIrb, net::Op::kIrb}) {
    net::Layer block{.op = op, .in = network.layers.back().out(), .kernel = pick({3, 5})};
    block.out_channels = op == net::Op::kFusedIrb ? 12 : 16;
    block.mid_channels = block.in.c * pick({2, 4});
    block.se_channels = pick({0, 4});
    block.act = random.Below(2) == 0 ? net::Activation::kRelu : net::Activation::kSwish;
    block.residual = block.in.c == block.out_channels;
    network.layers.push_back(block);
  }
  net::Layer tail{.op = net::Op::kTail, .in = network.layers.back().out(), .out_channels = 10};
  tail.mid_channels = pick({32, 64});
  network.layers.push_back(tail);
  net::Validate(network);
  return network;
}

}  // namespace lathe::latency
