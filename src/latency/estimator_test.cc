#include "latency/estimator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "base/error.h"
#include "latency/stats.h"
#include "net/graph.h"
#include "space/search_space.h"

namespace lathe::latency {
namespace {

// Layers of random networks of a real space.
std::vector<net::Network> RandomNetworks(int count, uint64_t seed) {
  static const auto kSpace =
      space::SearchSpace::Load(LATHE_SOURCE_DIR "/configs/spaces/small-images.toml");
  Random random(seed);
  std::vector<net::Network> networks;
  for (int i = 0; i < count; ++i)
    networks.push_back(kSpace.Decode(kSpace.Sample(random), {.channels = 1, .classes = 10}));
  return networks;
}

// Less smooth than the fake engine's: vector lanes, an activation's price, a cost for each part.
double TruePartUs(const Part& part) {
  const int lanes = (part.out.c + 15) / 16 * 16;
  const double pixels = double{1} * part.out.h * part.out.w;
  const double macs = pixels * lanes * part.in.c / part.groups * part.kernel * part.kernel;
  const double swish = part.act == net::Activation::kSwish ? 4e-4 : 1e-4;
  const double add = part.add ? 1 + pixels * part.out.c * 2e-4 : 0;
  return 0.8 + macs * (part.groups > 1 ? 2e-4 : 4e-5) + pixels * part.out.c * swish + add;
}

double TrueLatencyUs(const net::Layer& layer) {
  double latency_us = 0;
  for (const Part& part : PartsOf(layer)) latency_us += TruePartUs(part);
  return latency_us;
}

Lut LutOf(const std::vector<net::Network>& networks, double noise = 0) {
  Lut lut;
  lut.overhead_us = 20;
  Random random(5);
  for (const net::Network& network : networks) {
    for (const net::Layer& layer : network.layers) {
      lut.entries[KeyOf(layer)] = {
          .layer = layer,
          .latency_us = TrueLatencyUs(layer) * std::exp(noise * random.Normal()),
          .spread = 2.5 * noise,
          .samples = 1};
    }
  }
  return lut;
}

TEST(Estimator, MeasuredLayersAreAsMeasured) {
  const auto networks = RandomNetworks(20, 1);
  const Estimator estimator(LutOf(networks));
  double sum = 20;
  for (const net::Layer& layer : networks[3].layers) {
    const Estimate estimate = estimator.Layer(layer);
    EXPECT_TRUE(estimate.measured);
    EXPECT_DOUBLE_EQ(estimate.latency_us, TrueLatencyUs(layer));
    sum += TrueLatencyUs(layer);
  }
  const NetworkEstimate whole = estimator.Network(networks[3]);
  EXPECT_NEAR(whole.latency_us, sum, 1e-9 * sum);
  EXPECT_EQ(whole.estimated_layers, 0);
  EXPECT_EQ(whole.layers.size(), networks[3].layers.size());
}

TEST(Estimator, LayersNeverMeasuredAreClose) {
  const Estimator estimator(LutOf(RandomNetworks(60, 1), 0.02));
  std::vector<double> errors, normalised;
  std::vector<double> predicted, measured;
  for (const net::Network& network : RandomNetworks(60, 2)) {
    double truth = 20;
    for (const net::Layer& layer : network.layers) {
      const Estimate estimate = estimator.Layer(layer);
      truth += TrueLatencyUs(layer);
      if (estimate.measured) continue;
      errors.push_back(std::abs(estimate.latency_us / TrueLatencyUs(layer) - 1));
      normalised.push_back(
          std::pow((estimate.latency_us - TrueLatencyUs(layer)) / estimate.sigma_us, 2));
    }
    predicted.push_back(estimator.Network(network).latency_us);
    measured.push_back(truth);
  }
  ASSERT_GT(errors.size(), 100u);
  EXPECT_LT(Median(errors), 0.04);
  EXPECT_LT(Quantile(errors, 0.95), 0.2);
  double mean = 0;
  for (const double n : normalised) mean += n / static_cast<double>(normalised.size());
  EXPECT_GT(std::sqrt(mean), 0.5);  // sigma says how far off it is
  EXPECT_LT(std::sqrt(mean), 2.0);
  const ErrorBand band = Compare(predicted, measured);
  EXPECT_LT(band.mape, 0.025);
  EXPECT_GT(band.spearman, 0.99);
}

// A table as an engine makes it that tells the parts of layers apart.
Lut WithParts(const std::vector<net::Network>& networks, double noise) {
  Lut lut = LutOf(networks, noise);
  Random random(6);
  for (const auto& [key, entry] : lut.entries) {
    for (const Part& part : PartsOf(entry.layer)) {
      PartEntry& known = lut.parts[KeyOf(part)];
      known = {.part = part,
               .latency_us = TruePartUs(part) * std::exp(noise * random.Normal()),
               .spread = 2.5 * noise,
               .samples = 1};
    }
  }
  return lut;
}

TEST(Estimator, PartsMakeUnseenLayersMoreCertain) {
  const auto known = RandomNetworks(30, 1);
  const Estimator whole(LutOf(known, 0.02)), parts(WithParts(known, 0.02));
  std::vector<double> whole_errors, part_errors;
  double squares = 0;
  for (const net::Network& network : RandomNetworks(60, 2)) {
    for (const net::Layer& layer : network.layers) {
      const Estimate estimate = parts.Layer(layer);
      if (estimate.measured) continue;
      const double truth = TrueLatencyUs(layer);
      whole_errors.push_back(std::abs(whole.Layer(layer).latency_us / truth - 1));
      part_errors.push_back(std::abs(estimate.latency_us / truth - 1));
      squares += std::pow((estimate.latency_us - truth) / estimate.sigma_us, 2);
    }
  }
  ASSERT_GT(part_errors.size(), 100u);
  EXPECT_LT(Median(part_errors), 0.6 * Median(whole_errors));
  EXPECT_LT(Quantile(part_errors, 0.95), 0.08);
  // Sigmas of parts are added up as if they erred together, so they rather say too much.
  const double normalised = std::sqrt(squares / static_cast<double>(part_errors.size()));
  EXPECT_GT(normalised, 0.2);
  EXPECT_LT(normalised, 2.0);
}

// As where an engine fuses the parts of some layers.
TEST(Estimator, WholeLayersStepInWherePartsAreMissing) {
  const auto known = RandomNetworks(60, 1);
  Lut lut = WithParts(known, 0.01);
  std::erase_if(lut.parts,
                [](const auto& part) { return part.second.part.kind == net::NodeKind::kLinear; });
  const Estimator estimator(lut);
  int unseen = 0;
  for (const net::Network& network : RandomNetworks(60, 2)) {
    ASSERT_TRUE(estimator.Covers(network));
    const net::Layer& tail = network.layers.back();
    if (estimator.Layer(tail).measured) continue;
    ++unseen;
    EXPECT_NEAR(estimator.Layer(tail).latency_us / TrueLatencyUs(tail), 1, 0.3);
  }
  EXPECT_GT(unseen, 0);
}

TEST(Estimator, ASampleIsWeighedWithWhatItsPartsWouldTake) {
  Lut lut = WithParts(RandomNetworks(40, 1), 0.01);
  LutEntry& odd = lut.entries.begin()->second;
  odd.latency_us *= 1.5;
  odd.spread = 0;
  odd.samples = 1;
  const double truth = TrueLatencyUs(odd.layer);
  const double once = Estimator(lut).Layer(odd.layer).latency_us;
  EXPECT_GT(once, 1.01 * truth);
  EXPECT_LT(once, 1.45 * truth) << "one sample may be wrong";
  odd.samples = 100;
  EXPECT_GT(Estimator(lut).Layer(odd.layer).latency_us, 1.45 * truth) << "a hundred are not";
}

TEST(Estimator, EqualLayersErrTogether) {
  const Lut lut = WithParts(RandomNetworks(40, 1), 0.02);
  const Estimator estimator(lut);
  net::Network network = RandomNetworks(1, 9)[0];
  const net::Layer layer = network.layers[1];
  network.layers = {layer};
  const double one = estimator.Network(network).sigma_us;
  network.layers = {layer, layer, layer, layer};
  EXPECT_NEAR(estimator.Network(network).sigma_us, 4 * one, 1e-9);
  Lut with_band = lut;
  with_band.band = ErrorBand{.mape = 0.1, .p95 = 0.2, .bias = 0, .spearman = 1, .networks = 12};
  const NetworkEstimate whole = Estimator(with_band).Network(network);
  EXPECT_GT(whole.sigma_us, 0.1 * whole.latency_us) << "no more certain than checks were";
}

TEST(Estimator, AFewEntriesGiveTheRightOrderOfMagnitude) {
  const Estimator estimator(LutOf(RandomNetworks(2, 1)));
  for (const net::Network& network : RandomNetworks(20, 3)) {
    double truth = 20;
    for (const net::Layer& layer : network.layers) truth += TrueLatencyUs(layer);
    EXPECT_NEAR(std::log(estimator.Network(network).latency_us / truth), 0, std::log(2.0));
  }
}

TEST(Estimator, OperationsNeverMeasuredAreRefused) {
  Lut lut;
  EXPECT_THROW(Estimator{lut}, Error);
  const net::Network network = RandomNetworks(1, 1)[0];
  const net::Layer& stem = network.layers[0];
  lut.entries[KeyOf(stem)] = {.layer = stem, .latency_us = 5, .spread = 0, .samples = 1};
  const Estimator estimator(lut);
  EXPECT_FALSE(estimator.Covers(network));
  try {
    estimator.Network(network);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("fused_irb"));
  }
}

TEST(Estimator, IsFastAndTheSameFromManyThreads) {
  const Estimator estimator(LutOf(RandomNetworks(60, 1)));
  const auto networks = RandomNetworks(300, 4);
  std::vector<std::vector<double>> latencies(4);
  std::vector<std::thread> threads;
  for (auto& latency_us : latencies) {
    threads.emplace_back([&] {
      for (const net::Network& network : networks)
        latency_us.push_back(estimator.Network(network).latency_us);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& latency_us : latencies) EXPECT_EQ(latency_us, latencies[0]);

  const auto start = std::chrono::steady_clock::now();
  size_t layers = 0;
  for (const net::Network& network : networks) layers += estimator.Network(network).layers.size();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  EXPECT_LT(time.count() / static_cast<double>(layers), 20);
}

}  // namespace
}  // namespace lathe::latency
