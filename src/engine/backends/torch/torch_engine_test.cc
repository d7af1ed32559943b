#include "engine/backends/torch/torch_engine.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/reference_testing.h"

namespace lathe::engine {
namespace {

const TimingOptions kShort{.warmup = 5, .min_runs = 30, .min_seconds = 0.05};

TEST(TorchEngine, AgreesWithTheReference) {
  const net::Network network = EveryOpNetwork();
  const net::Weights weights = BusyWeights(network, 1);
  const std::vector<float> images = RandomImages(network, 35, 2);
  const std::vector<float> expected = ReferenceRun(network, weights, images, 35);
  EXPECT_LT(LargestDifference(MakeTorchEngine({})->Compile(network, weights, {})->Run(images, 35),
                              expected),
            1e-4);
  const double bf16 = LargestDifference(MakeTorchEngine({.precision = Precision::kBf16})
                                            ->Compile(network, weights, {})
                                            ->Run(images, 35),
                                        expected);
  EXPECT_GT(bf16, 1e-4);
  EXPECT_LT(bf16, 0.2);
}

TEST(TorchEngine, ProfileCoversTheNetwork) {
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({.batch = 4})->Compile(network, BusyWeights(network, 1), {.profile = true});
  // The best of a few rounds, since the machine may be busy.
  double best_us = 1e12, best_sum_us = 1e12;
  for (int round = 0; round < 5; ++round) {
    best_us = std::min(best_us, model->Time(kShort).p10_us);
    const std::vector<LayerTime> layers = model->Profile(kShort);
    ASSERT_EQ(layers.size(), network.layers.size());
    double sum_us = 0;
    for (const LayerTime& layer : layers) sum_us += layer.median_us;
    best_sum_us = std::min(best_sum_us, sum_us);
  }
  EXPECT_GT(best_sum_us, best_us / 2);
  EXPECT_LT(best_sum_us, best_us * 2);
}

TEST(TorchEngine, LeavesTorchsThreadsAsTheyWere) {
  at::set_num_threads(2);
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({.threads = 1})->Compile(network, BusyWeights(network, 1), {});
  model->Time(kShort);
  EXPECT_EQ(at::get_num_threads(), 2);
}

TEST(TorchEngine, FingerprintAndRefusals) {
  const Fingerprint target = MakeTorchEngine({.threads = 2})->Target();
  EXPECT_EQ(target.engine, "torch");
  EXPECT_THAT(target.engine_version, testing::StartsWith("2."));
  EXPECT_FALSE(target.device_name.empty());
  EXPECT_THROW(MakeTorchEngine({.precision = Precision::kF16}), Error);
  EXPECT_THROW(MakeTorchEngine({.precision = Precision::kInt8}), Error);
  EXPECT_THROW(MakeTorchEngine({.device = "TPU"}), Error);
  EXPECT_THROW(MakeTorchEngine({})->Load("model.onnx"), Error);
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({})->Compile(network, BusyWeights(network, 1), {});
  EXPECT_THROW(model->Profile({}), Error);
}

}  // namespace
}  // namespace lathe::engine
