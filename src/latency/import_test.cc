#include "latency/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "latency/estimator.h"
#include "latency/import_conv_testing.h"
#include "latency/price_space.h"
#include "latency/tiny_networks_testing.h"
#include "net/zoo.h"

namespace lathe::latency {
namespace {

space::SearchSpace GpunetAt224() {
  return space::SearchSpace::Load(std::filesystem::path(LATHE_SOURCE_DIR) /
                                  "configs/spaces/gpunet.toml")
      .Restrict({{"resolution", {224}}});
}

double SumOfParts(const Lut& lut, const net::Layer& layer) {
  double sum = 0;
  for (const Part& part : PartsOf(layer)) sum += lut.parts.at(KeyOf(part)).latency_us;
  return sum;
}

TEST(ComposeLut, LayersAreSumsOfTheirParts) {
  PartsAlone alone{ConvTable(LawTimings())};
  const net::Network network = TinyNetwork(3);
  const Calibration calibration{.scale = 0.5, .launch_us = 2, .constant_us = 33};
  const Lut lut = ComposeLut(alone, std::span(&network, 1), {},
                             {.calibration = calibration, .part_error = 0.08});
  EXPECT_EQ(lut.overhead_us, 33);
  double sum = lut.overhead_us;
  for (const net::Layer& layer : network.layers) {
    const LutEntry& entry = lut.entries.at(KeyOf(layer));
    EXPECT_NEAR(entry.latency_us, SumOfParts(lut, layer), 1e-9);
    EXPECT_GT(entry.spread, 0);
    EXPECT_LE(entry.spread, lut.parts.begin()->second.spread + 1e-12);
    sum += entry.latency_us;
  }
  std::vector<double> parts;
  for (const net::Layer& layer : network.layers) {
    for (const double part : alone.Predict(layer)) parts.push_back(part);
  }
  EXPECT_NEAR(sum, calibration.InNetwork(parts), 1e-9);
  EXPECT_NEAR(Estimator(lut).Network(network).latency_us / sum, 1, 1e-3);
}

TEST(ComposeLut, NamesThePartThatIsMissing) {
  std::vector<ConvTiming> timings = LawTimings();
  std::erase_if(timings, [](const ConvTiming& timing) { return timing.part.kernel == 5; });
  PartsAlone alone{ConvTable(timings)};
  const net::Network network = net::ZooNetwork("efficientnet_b0");
  try {
    ComposeLut(alone, std::span(&network, 1), {}, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("depthwise convolutions of kernel 5"));
  }
}

TEST(ComposeLut, HoldsEveryPartOfTheSpaceAndASampleOfItsLayers) {
  PartsAlone alone{ConvTable(LawTimings())};
  const space::SearchSpace space = GpunetAt224();
  const std::vector<net::Layer> layers = LayersOf(space, {});
  const Lut lut = ComposeLut(alone, {}, layers, {.entries_per_operation = 500});
  for (const net::Layer& layer : layers) {
    for (const Part& part : PartsOf(layer)) ASSERT_TRUE(lut.parts.contains(KeyOf(part)));
  }
  std::map<net::Op, int> entries;
  for (const auto& [key, entry] : lut.entries) ++entries[entry.layer.op];
  EXPECT_EQ(entries.size(), 4U);
  EXPECT_LE(entries[net::Op::kIrb], 500);
  EXPECT_GT(entries[net::Op::kIrb], 400);
}

// Stage 1 on an imported table: what the estimator says of a space is what its parts say.
TEST(ComposeLut, PricesTheSpace) {
  PartsAlone alone{ConvTable(LawTimings())};
  const space::SearchSpace space = GpunetAt224();
  const Lut lut = ComposeLut(alone, {}, LayersOf(space, {}), {});
  const Estimator estimator(lut);
  const PricedSpace priced = PriceSpace(space, estimator, {});
  EXPECT_GT(priced.layers, 5000);
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    const net::Network network = space.Decode(space.Sample(random), {});
    double parts = lut.overhead_us;
    for (const net::Layer& layer : network.layers) parts += SumOfParts(lut, layer);
    const space::Encoding encoding = space.Encode(network);
    EXPECT_NEAR(static_cast<double>(priced.tables.Of(encoding).latency_ps) / 1e6 / parts, 1, 0.03);
  }
}

}  // namespace
}  // namespace lathe::latency
