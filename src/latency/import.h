// A LUT for a device that nobody here owns, put together from convolutions that others timed on it.
// Its parts are those of all layers given, from which any layer is estimated; its entries those of
// the zoo and of a sample of the layers, for people to look at.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "latency/calibration.h"
#include "latency/import_parts.h"
#include "latency/lut.h"
#include "space/search_space.h"

namespace lathe::latency {

// Every layer of a space once per stage, all resolutions.
std::vector<net::Layer> LayersOf(const space::SearchSpace& space, space::SearchSpace::Head head);

struct ComposeOptions {
  engine::Fingerprint target;
  Calibration calibration;
  double part_error = 0;             // median |relative error| of a part's latency
  int entries_per_operation = 1500;  // sampled of `layers`
  uint64_t seed = 1;                 // of the sample
};

// Blocking. All layers of `networks` become entries. Throws kInput naming the part that cannot be
// predicted.
Lut ComposeLut(PartsAlone& alone, std::span<const net::Network> networks,
               std::span<const net::Layer> layers, const ComposeOptions& options);

}  // namespace lathe::latency
