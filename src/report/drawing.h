// A network as a picture and as a list of its stages.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "net/network.h"

namespace lathe::report {

// Inline SVG, a block per layer from the input on the left: as high as its pixels, as wide as its
// share of the latency (`layer_us`, of each layer; empty: all alike), coloured by operation.
std::string NetworkDrawing(const net::Network& network, std::span<const double> layer_us);

// A list with an entry per run of equal layers: "irb ×3  24×14×14, k5, expansion 4, SE, swish",
// and its share of the latency.
std::string StageList(const net::Network& network, std::span<const double> layer_us);

}  // namespace lathe::report
