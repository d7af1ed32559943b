// A part of a layer: one primitive operation as an engine runs it, with its activation and a
// following addition fused in. A space has far fewer distinct parts than layers, and engines choose
// their kernels by part, so layers that were never measured are estimated as the sum of their
// parts.
#pragma once

#include <string>
#include <vector>

#include "net/graph.h"

namespace lathe::latency {

struct Part {
  net::NodeKind kind = net::NodeKind::kConv;  // never kAdd
  net::Shape in, out;
  int kernel = 1, stride = 1, groups = 1;
  net::Activation act = net::Activation::kNone;
  bool add = false;  // adds a second input of shape `out` to the result
  bool operator==(const Part&) const = default;

  bool depthwise() const { return groups > 1 && groups == in.c; }
};

// In the order they run. An addition belongs to the part before it.
std::vector<Part> PartsOf(const net::Layer& layer);

// "conv_i24x14x14_o96x14x14_k3_s1_g24_swish_add", "pool_i96x7x7", "scale_i96x7x7",
// "linear_i1280_o1000_relu"; groups of 1, no activation and no addition are left out.
using PartKey = std::string;
PartKey KeyOf(const Part& part);
// KeyOf(PartOf(key)) == key. Throws kInput naming the key when it is not such a text.
Part PartOf(const PartKey& key);

// Of one image.
double Macs(const Part& part);     // multiply-accumulates of convolutions and linear layers
double Weights(const Part& part);  // values read once
double Values(const net::Shape& shape);

}  // namespace lathe::latency
