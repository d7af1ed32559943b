#include "engine/backends/fake/fake_engine.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "engine/reference_testing.h"
#include "onnx/export.h"

namespace lathe::engine {
namespace {

std::unique_ptr<CompiledModel> CompileEveryOp(const FakeEngineOptions& options) {
  const net::Network network = EveryOpNetwork();
  return MakeFakeEngine(options)->Compile(network, BusyWeights(network, 1), {.profile = true});
}

TEST(FakeEngine, LatencyIsTheSumOfItsLayers) {
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model = CompileEveryOp({.target = {}});
  const std::vector<LayerTime> layers = model->Profile({});
  ASSERT_EQ(layers.size(), network.layers.size());
  double sum_us = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(layers[i].layer, static_cast<int>(i));
    EXPECT_DOUBLE_EQ(layers[i].median_us, FakeLayerLatencyUs(network.layers[i]));
    EXPECT_GT(layers[i].median_us, 2);
    sum_us += layers[i].median_us;
  }
  EXPECT_DOUBLE_EQ(model->Time({}).median_us, sum_us);
}

TEST(FakeEngine, NoiseIsSeeded) {
  const FakeEngineOptions options{.target = {}, .noise = 0.1, .seed = 7};
  const Timing first = CompileEveryOp(options)->Time({});
  EXPECT_EQ(first.median_us, CompileEveryOp(options)->Time({}).median_us);
  EXPECT_LT(first.p10_us, first.p90_us);
  EXPECT_NE(first.median_us,
            CompileEveryOp({.target = {}, .noise = 0.1, .seed = 8})->Time({}).median_us);
  const double exact = CompileEveryOp({.target = {}})->Time({}).median_us;
  EXPECT_NEAR(first.median_us, exact, 0.1 * exact);
}

TEST(FakeEngine, LogitsDependOnTheImageAlone) {
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model = CompileEveryOp({.target = {}});
  const std::vector<float> images = RandomImages(network, 3, 1);
  const std::vector<float> logits = model->Run(images, 3);
  ASSERT_EQ(logits.size(), 21u);
  EXPECT_NE(std::vector(logits.begin(), logits.begin() + 7),
            std::vector(logits.begin() + 7, logits.begin() + 14));
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "fake.onnx";
  onnx::ExportOnnx(path, network, BusyWeights(network, 2));
  EXPECT_EQ(MakeFakeEngine({})->Load(path)->Run(images, 3), logits);
  EXPECT_THROW(model->Run(images, 2), Error);
}

TEST(FakeEngine, ProfilesOnlyWhenAsked) {
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeFakeEngine({})->Compile(network, BusyWeights(network, 1), {});
  EXPECT_THROW(model->Profile({}), Error);
}

}  // namespace
}  // namespace lathe::engine
