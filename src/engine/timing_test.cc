#include "engine/timing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "engine/reference_testing.h"

namespace lathe::engine {
namespace {

TEST(Timing, SummarisesWithQuantiles) {
  std::vector<double> samples(101);
  std::iota(samples.rbegin(), samples.rend(), 0);
  const Timing timing = Summarise(samples);
  EXPECT_DOUBLE_EQ(timing.median_us, 50);
  EXPECT_DOUBLE_EQ(timing.p10_us, 10);
  EXPECT_DOUBLE_EQ(timing.p90_us, 90);
  EXPECT_EQ(timing.runs, 101);
}

TEST(Timing, RunsUntilRunsAndSecondsAreReached) {
  int runs = 0, after = 0;
  EXPECT_EQ(TimeRuns(
                {.warmup = 3, .min_runs = 7, .min_seconds = 0}, [&] { ++runs; }, [&] { ++after; })
                .size(),
            7u);
  EXPECT_EQ(runs, 10);
  EXPECT_EQ(after, 7);
  const std::vector<double> samples =
      TimeRuns({.warmup = 0, .min_runs = 1, .min_seconds = 0.02}, [] {});
  EXPECT_GT(samples.size(), 100u);
}

// A model whose timings are given.
class Recorded : public CompiledModel {
 public:
  explicit Recorded(std::vector<Timing> timings) : timings_(std::move(timings)) {}
  std::vector<float> Run(std::span<const float>, int) override { return {}; }
  Timing Time(const TimingOptions&) override { return timings_.at(calls++); }
  std::vector<LayerTime> Profile(const TimingOptions&) override { return {}; }
  size_t calls = 0;

 private:
  std::vector<Timing> timings_;
};

TEST(TimeUndisturbed, TakesTheFirstCalmTiming) {
  Recorded calm({{.median_us = 100, .p10_us = 98, .p90_us = 105, .runs = 9}});
  EXPECT_EQ(TimeUndisturbed(calm, {}).median_us, 100);
  EXPECT_EQ(calm.calls, 1u);
  Recorded disturbed({{.median_us = 150, .p10_us = 100, .p90_us = 400, .runs = 9},
                      {.median_us = 101, .p10_us = 99, .p90_us = 106, .runs = 9}});
  EXPECT_EQ(TimeUndisturbed(disturbed, {}).median_us, 101);
}

TEST(TimeUndisturbed, GivesTheLeastDisturbedWhenNoneIsCalm) {
  Recorded noisy({{.median_us = 150, .p10_us = 100, .p90_us = 400, .runs = 9},
                  {.median_us = 120, .p10_us = 100, .p90_us = 200, .runs = 9},
                  {.median_us = 110, .p10_us = 60, .p90_us = 300, .runs = 9}});
  EXPECT_EQ(TimeUndisturbed(noisy, {}, 3).median_us, 120);
  EXPECT_EQ(noisy.calls, 3u);
}

TEST(Timing, LayerMedianSeesBelowTheClocksResolution) {
  Random random(1);
  for (const double exact : {3.0, 3.2, 3.5, 3.9}) {
    std::vector<double> samples;
    for (int i = 0; i < 2000; ++i) {
      const double start = random.Uniform();
      samples.push_back(std::floor(start + exact) - std::floor(start));
    }
    EXPECT_NEAR(SummariseLayer(0, samples, 1.0).median_us, exact, 0.15) << exact;
  }
  EXPECT_DOUBLE_EQ(SummariseLayer(0, {1, 2, 4, 50}).median_us, 3);
}

TEST(Timing, SpreadIsRelative) {
  const LayerTime layer = SummariseLayer(4, {90, 100, 110});
  EXPECT_EQ(layer.layer, 4);
  EXPECT_NEAR(layer.spread, 0.16, 1e-9);
}

TEST(Timing, NodesAreAssignedDownToTheGraph) {
  const net::Graph graph = net::Lower(EveryOpNetwork());
  const auto index = [&](std::string_view name) {
    const auto found = std::ranges::find(graph.nodes, name, &net::Node::name);
    EXPECT_NE(found, graph.nodes.end()) << name;
    return static_cast<int>(found - graph.nodes.begin());
  };
  // As OpenVINO and TensorRT call them: with words of their own before and behind, fused ones by
  // the first.
  const std::string se = std::ranges::find_if(graph.nodes, [](const net::Node& node) {
                           return node.name.ends_with("se.reduce");
                         })->name;
  const std::string layer = se.substr(0, se.find('.'));
  const std::vector<int> nodes =
      AssignNodes({"image_abcd_acdb_l00.conv/WithoutBiases", "l00.conv.relu", se + "/WithoutBiases",
                   layer + ".expand.weight_quantized", "PWN(" + se + ", " + se + ".mul)",
                   layer + ".unheard_of", "Convert_12", "logits_original"},
                  graph);
  const auto first = std::ranges::find_if(
      graph.nodes, [&](const net::Node& node) { return node.name.starts_with(layer + "."); });
  const int last = static_cast<int>(graph.nodes.size()) - 1;
  EXPECT_THAT(nodes, testing::ElementsAre(
                         index("l00.conv"), index("l00.conv"), index(se), index(layer + ".expand"),
                         index(se), static_cast<int>(first - graph.nodes.begin()), last, last));
  for (const char* nameless :
       {"", "l", "l.", "l0", "image", "lx.conv", "x00.conv", "model00.conv", "l-1.x"}) {
    EXPECT_THROW(AssignNodes({nameless}, graph), Error) << nameless;
  }
}

TEST(Timing, BatchCountChecksSizes) {
  const std::vector<float> images(30);
  EXPECT_EQ(BatchCount(images, 5, 6, 2), 3);
  EXPECT_EQ(BatchCount({}, 0, 6, 2), 0);
  EXPECT_THROW(BatchCount(images, 4, 6, 2), Error);
}

TEST(Target, OptionsAreChecked) {
  EXPECT_NO_THROW(CheckTargetOptions({}));
  EXPECT_THROW(CheckTargetOptions({.threads = 0}), Error);
  EXPECT_THROW(CheckTargetOptions({.batch = -3}), Error);
}

TEST(Target, FingerprintsDifferInEveryField) {
  const Fingerprint one{
      .engine = "fake", .engine_version = "1", .device = "CPU", .device_name = "x", .options = {}};
  EXPECT_EQ(one, one);
  EXPECT_EQ(one.Fields().at("precision"), "f32");
  std::vector<Fingerprint> others(7, one);
  others[0].engine = "other";
  others[1].engine_version = "2";
  others[2].device = "GPU";
  others[3].device_name = "y";
  others[4].options.threads = 2;
  others[5].options.batch = 2;
  others[6].options.precision = Precision::kBf16;
  for (const Fingerprint& other : others) EXPECT_FALSE(one == other);
}

TEST(Reference, KnownAnswer) {
  // 1 px: the tail's convolution, pooling and classifier are products.
  net::Network network;
  network.input = {1, 1, 1};
  network.layers.push_back({.op = net::Op::kTail,
                            .in = network.input,
                            .out_channels = 2,
                            .mid_channels = 1,
                            .act = net::Activation::kRelu,
                            .bn_eps = 0.0625f});
  net::Weights weights = net::RandomWeights(net::Lower(network), 1);
  weights.tensors["l00.conv.weight"].values = {3};
  weights.tensors["l00.conv.bn.var"].values = {3.9375f};  // sqrt(3.9375 + 0.0625) = 2
  weights.tensors["l00.conv.bn.mean"].values = {1};
  weights.tensors["l00.classifier.weight"].values = {1, -2};
  weights.tensors["l00.classifier.bias"].values = {10, 0};
  const std::vector<float> image = {5};
  EXPECT_THAT(ReferenceRun(network, weights, image, 1), testing::ElementsAre(17, -14));
}

}  // namespace
}  // namespace lathe::engine
