// Random small spaces with everything a space file can say, and the slow, obvious way to look at
// all their networks: what the fast ways are tested against.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "space/cost_tables.h"
#include "space/search_space.h"

namespace lathe::space {

// Space file of a random space of at most `most` networks: one to seven stages, single choices,
// shared genes (of filters, kernels, activations, layers, ...), stages that may be empty.
std::string RandomSpaceText(uint64_t seed, double most);
SearchSpace RandomSpace(uint64_t seed, double most = 20000);

// Every canonical encoding once, in lexicographic order.
std::vector<Encoding> AllEncodings(const SearchSpace& space);

// A made-up latency in microseconds that depends on everything that makes a layer: a multiple of
// `step` from 1 to 40 steps.
double MadeUpLatency(const net::Layer& layer, double step);

// In steps of 1.37 microseconds: no whole number of anything.
double UnevenLatency(const net::Layer& layer);

// Cost of a network by walking its layers.
Cost WalkedCost(const net::Network& network, const LayerLatency& latency);

}  // namespace lathe::space
