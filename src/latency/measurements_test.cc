#include "latency/measurements.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <vector>

#include "latency/features.h"
#include "latency/stats.h"
#include "latency/tiny_networks_testing.h"

namespace lathe::latency {
namespace {

double TrueUs(const net::Layer& layer) { return 1 + 3e-5 * WorkTerms(WorkOf(layer)).head(2).sum(); }

// A network as a profiler with the given view of a layer shows it, timed end to end without error.
Measurement Measure(uint64_t draw, double overhead_us,
                    const std::function<double(const net::Layer&)>& profiled_us) {
  Measurement measurement{
      .total_us = overhead_us, .layers = TinyNetwork(draw).layers, .layer_us = {}};
  for (const net::Layer& layer : measurement.layers) {
    measurement.total_us += TrueUs(layer);
    measurement.layer_us.push_back(profiled_us(layer));
  }
  return measurement;
}

double MedianError(const Lut& lut) {
  std::vector<double> errors;
  for (const auto& [key, entry] : lut.entries) {
    errors.push_back(std::abs(entry.latency_us / TrueUs(entry.layer) - 1));
  }
  return Median(errors);
}

TEST(Measurements, LearnsWhatTheProfilerAddsAndLoses) {
  Measurements measurements{Lut{}};
  for (uint64_t draw = 0; draw < 300; ++draw) {
    measurements.Add(Measure(draw, 12, [](const net::Layer& layer) {
      return 1.15 * (TrueUs(layer) - 0.1 * WorkOf(layer).nodes);
    }));
  }
  const Lut lut = measurements.Solve(Drift());
  EXPECT_LT(MedianError(lut), 0.005);
  EXPECT_NEAR(lut.overhead_us, 12, 0.5);
}

TEST(Measurements, WallClockCorrectsWhatTheProfilerRounds) {
  // Each key is off by up to 0.4 us, always the same way, as with a clock that counts whole
  // microseconds.
  std::map<LayerKey, double> error_us;
  Random random(1);
  const auto profiled_us = [&](const net::Layer& layer) {
    const auto [error, fresh] = error_us.try_emplace(KeyOf(layer));
    if (fresh) error->second = 0.8 * (random.Uniform() - 0.5);
    return TrueUs(layer) + error->second;
  };
  Measurements measurements{Lut{}};
  for (uint64_t draw = 0; draw < 300; ++draw) measurements.Add(Measure(draw, 12, profiled_us));
  const Lut lut = measurements.Solve(Drift());
  std::vector<double> before, after;  // errors of whole networks
  for (uint64_t draw = 1000; draw < 1200; ++draw) {
    double without = 0, with = lut.overhead_us - 12;
    for (const net::Layer& layer : TinyNetwork(draw).layers) {
      without += error_us[KeyOf(layer)];
      with += lut.Find(layer).value_or(TrueUs(layer)) - TrueUs(layer);
    }
    before.push_back(std::abs(without));
    after.push_back(std::abs(with));
  }
  EXPECT_LT(Median(after), 0.5 * Median(before));
}

TEST(Measurements, ADisturbedNetworkHardlyCounts) {
  Measurements measurements{Lut{}};
  for (uint64_t draw = 0; draw < 100; ++draw) {
    Measurement measurement = Measure(draw, 12, TrueUs);
    if (draw % 10 == 0) measurement.total_us *= 2;
    measurements.Add(measurement);
  }
  const Lut lut = measurements.Solve(Drift());
  EXPECT_LT(MedianError(lut), 0.01);
  EXPECT_NEAR(lut.overhead_us, 12, 1);
}

TEST(Measurements, EarlierSamplesCountAsManyAsTheyWere) {
  Lut prior;
  const net::Network network = TinyNetwork(1);
  for (const net::Layer& layer : network.layers) {
    prior.entries[KeyOf(layer)] = {
        .layer = layer, .latency_us = TrueUs(layer), .spread = 0.1, .samples = 5};
  }
  net::Layer other = network.layers[0];
  other.out_channels = 24;
  const LutEntry unseen{.layer = other, .latency_us = 77, .spread = 0.3, .samples = 2};
  prior.entries[KeyOf(other)] = unseen;
  prior.overhead_us = 12;

  Measurements measurements(prior);
  Measurement odd = Measure(1, 12, [](const net::Layer& layer) { return 1.5 * TrueUs(layer); });
  measurements.Add(odd);
  const Lut lut = measurements.Solve(Drift());
  for (const net::Layer& layer : network.layers) {
    const LutEntry& entry = lut.entries.at(KeyOf(layer));
    EXPECT_NEAR(entry.latency_us / TrueUs(layer), 1, 0.05);
    EXPECT_EQ(entry.samples, 6);
  }
  const LutEntry& kept = lut.entries.at(KeyOf(other));
  EXPECT_EQ(kept.latency_us, unseen.latency_us);
  EXPECT_EQ(kept.spread, unseen.spread);
  EXPECT_EQ(kept.samples, unseen.samples);
}

TEST(Measurements, LayersTheProfilerDoesNotShowGetNoEntry) {
  Measurements measurements{Lut{}};
  Measurement measurement = Measure(1, 12, TrueUs);
  const LayerKey hidden = KeyOf(measurement.layers[2]);
  measurement.layer_us[2] = std::numeric_limits<double>::quiet_NaN();
  measurements.Add(measurement);
  const Lut lut = measurements.Solve(Drift());
  EXPECT_EQ(lut.entries.size(), measurement.layers.size() - 1);
  EXPECT_FALSE(lut.entries.contains(hidden));
}

}  // namespace
}  // namespace lathe::latency
