#include "latency/measurements.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "base/random.h"
#include "latency/features.h"
#include "latency/stats.h"
#include "latency/tiny_networks_testing.h"

namespace lathe::latency {
namespace {

double TrueUs(const net::Layer& layer) { return 1 + 3e-5 * WorkTerms(WorkOf(layer)).head(2).sum(); }

// A network as a profiler with the given view of a layer shows it, timed end to end without error.
Measurement Measure(uint64_t draw, double overhead_us,
                    const std::function<double(const net::Layer&)>& profiled_us) {
  Measurement measurement{.seconds = static_cast<double>(draw),
                          .layers = TinyNetwork(draw).layers,
                          .layer_us = {},
                          .node_us = {},
                          .total_us = overhead_us};
  for (const net::Layer& layer : measurement.layers) {
    measurement.total_us += TrueUs(layer);
    measurement.layer_us.push_back(profiled_us(layer));
    measurement.node_us.emplace_back();
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
  const Lut lut = measurements.Solve();
  EXPECT_LT(MedianError(lut), 0.005);
  EXPECT_NEAR(lut.overhead_us, 12, 0.5);
}

// Where the machine gets slower all the time and keys are seen once or twice, the others tell.
TEST(Measurements, EveryNetworkIsAReference) {
  const auto slowness = [](uint64_t draw) { return 1 + 0.1 * std::sin(0.1 * draw); };
  Measurements measurements{Lut{}};
  for (uint64_t draw = 0; draw < 300; ++draw) {
    Measurement measurement =
        Measure(draw, 0, [&](const net::Layer& layer) { return slowness(draw) * TrueUs(layer); });
    measurement.total_us *= slowness(draw);
    measurements.Add(measurement);
  }
  EXPECT_LT(MedianError(measurements.Solve()), 0.015);

  // A reference network that has troubles of its own does not spoil it.
  Random random(1);
  for (uint64_t draw = 0; draw < 300; ++draw) {
    measurements.Add(ReferenceTime{.seconds = static_cast<double>(draw),
                                   .latency_us = 100 * std::exp(0.2 * random.Normal())});
  }
  EXPECT_LT(MedianError(measurements.Solve()), 0.02);
}

// The profiler adds more to a part than some parts of other networks take, or so it seems where
// other programs disturb the timings: then the table is bad, but of the right size.
TEST(Measurements, ADoubtfulProfilerMakesNoNonsense) {
  Measurements measurements{Lut{}};
  for (uint64_t draw = 0; draw < 120; ++draw) {
    const double added = draw < 30 ? 0 : 9;
    measurements.Add(Measure(draw, 12, [&](const net::Layer& layer) {
      const double parts = static_cast<double>(PartsOf(layer).size());
      return TrueUs(layer) + added * parts;
    }));
  }
  for (const auto& [key, entry] : measurements.Solve().entries) {
    EXPECT_LT(entry.latency_us, 10 * TrueUs(entry.layer)) << key;
    EXPECT_GT(entry.latency_us, TrueUs(entry.layer) / 10) << key;
  }
}

TEST(Measurements, KeysLeftOutAreEstimatedFromTheOthers) {
  Measurements measurements{Lut{}};
  EXPECT_FALSE(measurements.SolveAndCheckKeys(1).key_band);
  Random random(1);
  for (uint64_t draw = 0; draw < 300; ++draw) {
    measurements.Add(Measure(draw, 0, [&](const net::Layer& layer) {
      return TrueUs(layer) * (1 + 0.01 * random.Normal());
    }));
  }
  const std::optional<KeyBand> band = measurements.SolveAndCheckKeys(1).key_band;
  ASSERT_TRUE(band);
  EXPECT_GT(band->keys, 5);
  EXPECT_LT(band->median, 0.05);
  EXPECT_GT(band->median, 0);
  EXPECT_GE(band->p90, band->median);
}

TEST(Measurements, PartsAreShownWhereAllOfALayerAre) {
  Measurements measurements{Lut{}};
  Measurement measurement = Measure(1, 0, TrueUs);
  for (size_t i = 0; i < measurement.layers.size(); ++i) {
    const size_t nodes = net::LowerLayer(measurement.layers[i], 0, 0, net::Node::kImage).size();
    measurement.node_us[i].assign(nodes, measurement.layer_us[i] / static_cast<double>(nodes));
  }
  measurement.node_us[1][0] = 0;  // fused into something else
  measurements.Add(measurement);
  const Lut lut = measurements.Solve();
  for (size_t i = 0; i < measurement.layers.size(); ++i) {
    for (const Part& part : PartsOf(measurement.layers[i])) {
      EXPECT_EQ(lut.parts.contains(KeyOf(part)), i != 1) << KeyOf(part);
    }
  }
}

TEST(Measurements, ADisturbedNetworkHardlyCounts) {
  Measurements measurements{Lut{}};
  for (uint64_t draw = 0; draw < 100; ++draw) {
    Measurement measurement = Measure(draw, 12, TrueUs);
    if (draw % 10 == 0) measurement.total_us *= 2;
    measurements.Add(measurement);
  }
  const Lut lut = measurements.Solve();
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
  const Lut lut = measurements.Solve();
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
  measurement.layer_us[2] = 0;
  measurements.Add(measurement);
  const Lut lut = measurements.Solve();
  EXPECT_EQ(lut.entries.size(), measurement.layers.size() - 1);
  EXPECT_FALSE(lut.entries.contains(hidden));
}

}  // namespace
}  // namespace lathe::latency
