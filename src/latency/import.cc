#include "latency/import.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/random.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

// (p90 - p10) / median of a normal distribution with a given median of |error|.
constexpr double kErrorToSpread = kNormalSpread * kMedianAbsoluteToDeviation;

class Composer {
 public:
  Composer(PartsAlone& alone, const ComposeOptions& options)
      : alone_(alone), calibration_(options.calibration) {
    lut_.target = options.target;
    lut_.overhead_us = options.calibration.constant_us;
    part_spread_ = kErrorToSpread * options.part_error;
  }

  void AddParts(const net::Layer& layer) {
    const std::vector<Part> parts = PartsOf(layer);
    const std::vector<double> alone_us = alone_.Predict(layer);
    for (size_t i = 0; i < parts.size(); ++i) {
      lut_.parts.try_emplace(KeyOf(parts[i]),
                             PartEntry{.part = parts[i],
                                       .latency_us = calibration_.InNetwork(alone_us[i]),
                                       .spread = part_spread_,
                                       .samples = 1});
    }
  }

  void AddEntry(const net::Layer& layer) {
    const LayerKey key = KeyOf(layer);
    if (lut_.entries.contains(key)) return;
    LutEntry entry{.layer = LayerOf(key), .latency_us = 0, .spread = 0, .samples = 1};
    double squares = 0;
    for (const double alone_us : alone_.Predict(layer)) {
      const double latency_us = calibration_.InNetwork(alone_us);
      entry.latency_us += latency_us;
      squares += latency_us * latency_us;
    }
    entry.spread = part_spread_ * std::sqrt(squares) / entry.latency_us;
    lut_.entries.emplace(key, entry);
  }

  Lut Finish() { return std::move(lut_); }

 private:
  PartsAlone& alone_;
  const Calibration calibration_;
  double part_spread_ = 0;
  Lut lut_;
};

}  // namespace

std::vector<net::Layer> LayersOf(const space::SearchSpace& space, space::SearchSpace::Head head) {
  std::vector<net::Layer> layers;
  for (const int resolution : space.resolution().values) {
    std::vector<net::Layer> more = space.DistinctLayers(resolution, head);
    std::move(more.begin(), more.end(), std::back_inserter(layers));
  }
  return layers;
}

Lut ComposeLut(PartsAlone& alone, std::span<const net::Network> networks,
               std::span<const net::Layer> layers, const ComposeOptions& options) {
  Composer composer(alone, options);
  for (const net::Network& network : networks) {
    for (const net::Layer& layer : network.layers) {
      composer.AddParts(layer);
      composer.AddEntry(layer);
    }
  }
  std::vector<const net::Layer*> order;
  for (const net::Layer& layer : layers) {
    composer.AddParts(layer);
    order.push_back(&layer);
  }
  Random random(options.seed);
  random.Shuffle(std::span(order));
  std::map<net::Op, int> taken;
  for (const net::Layer* layer : order) {
    if (taken[layer->op]++ < options.entries_per_operation) composer.AddEntry(*layer);
  }
  return composer.Finish();
}

}  // namespace lathe::latency
