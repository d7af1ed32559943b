// For tests of engines: a plain evaluation of net/graph.h in nested loops and double precision, and
// a network in which every operation occurs. Shares nothing with the engines or the export, so that
// agreement means something.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/network.h"
#include "net/weights.h"

namespace lathe::engine {

// 18 x 16 px, 7 classes; every op, activation and padding, groups, squeeze-and-excitation,
// shortcuts and a hidden layer.
net::Network EveryOpNetwork();

// RandomWeights with biases and norms that are not trivial either.
net::Weights BusyWeights(const net::Network& network, uint64_t seed);

// `count` images of random normal values.
std::vector<float> RandomImages(const net::Network& network, int count, uint64_t seed);

// Logits of `count` images, NCHW.
std::vector<float> ReferenceRun(const net::Network& network, const net::Weights& weights,
                                std::span<const float> images, int count);

// Smallest and largest output of every node over the images, by its name; "image": of the images.
std::map<std::string, std::pair<float, float>> ReferenceRanges(const net::Network& network,
                                                               const net::Weights& weights,
                                                               std::span<const float> images,
                                                               int count);

// Largest absolute difference of two equally long lists; NaN when any value is.
double LargestDifference(std::span<const float> a, std::span<const float> b);

}  // namespace lathe::engine
