#include "train/module.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>

#include "engine/reference_testing.h"
#include "train/optimizer.h"
#include "train/torch_guard.h"
#include "train/trainer.h"

namespace lathe::train {
namespace {

std::vector<float> ToNhwc(const std::vector<float>& nchw, int count, const net::Shape& shape) {
  const at::Tensor images = at::from_blob(const_cast<float*>(nchw.data()),
                                          {count, shape.c, shape.h, shape.w}, at::kFloat);
  const at::Tensor nhwc = images.permute({0, 2, 3, 1}).contiguous();
  const auto* data = nhwc.const_data_ptr<float>();
  return {data, data + nhwc.numel()};
}

TEST(TrainedModelTest, AgreesWithThePlainReference) {
  const net::Network network = engine::EveryOpNetwork();
  const net::Weights weights = engine::BusyWeights(network, 7);
  const std::vector<float> images = engine::RandomImages(network, 3, 8);
  TrainedModel model(network, weights, 1);
  const std::vector<float> logits = model.Logits(ToNhwc(images, 3, network.input), 3);
  const std::vector<float> expected = engine::ReferenceRun(network, weights, images, 3);
  ASSERT_EQ(logits.size(), expected.size());
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < logits.size(); ++i)
    EXPECT_NEAR(logits[i], expected[i], 1e-4f * largest) << i;
}

TEST(TrainedModelTest, ShowsWhatEveryNodeGives) {
  const net::Network network = engine::EveryOpNetwork();
  const net::Weights weights = engine::BusyWeights(network, 7);
  const std::vector<float> images = engine::RandomImages(network, 3, 8);
  auto expected = engine::ReferenceRanges(network, weights, images, 3);
  expected.erase("image");
  TrainedModel model(network, weights, 1);
  size_t nodes = 0;
  model.Logits(ToNhwc(images, 3, network.input), 3,
               [&](const net::Node& node, std::span<const float> values) {
                 ++nodes;
                 const auto& [low, high] = expected.at(node.name);
                 const auto [least, most] = std::ranges::minmax_element(values);
                 EXPECT_NEAR(*least, low, 1e-4f * (1 + std::abs(low))) << node.name;
                 EXPECT_NEAR(*most, high, 1e-4f * (1 + std::abs(high))) << node.name;
                 EXPECT_EQ(values.size(), 3u * static_cast<size_t>(node.out.c) *
                                              static_cast<size_t>(node.out.h * node.out.w));
               });
  EXPECT_EQ(nodes, expected.size());
}

TEST(ModuleTest, ExportsWhatWasLoaded) {
  const net::Graph graph = net::Lower(engine::EveryOpNetwork());
  const net::Weights weights = net::RandomWeights(graph, 3);
  Module module(graph);
  module.Load(weights);
  const net::Weights again = module.Export(module.state());
  ASSERT_EQ(again.tensors.size(), weights.tensors.size());
  for (const auto& [name, tensor] : weights.tensors) {
    EXPECT_EQ(again.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(again.at(name).values, tensor.values) << name;
  }
  // All parameters, each from a multiple of 16 floats on.
  double parameters = 0;
  int64_t room = 0;
  for (const net::TensorSpec& spec : net::Tensors(graph)) {
    if (!spec.trainable) continue;
    const auto size = static_cast<int64_t>(weights.at(spec.name).values.size());
    parameters += static_cast<double>(size);
    room += (size + 15) / 16 * 16;
  }
  EXPECT_EQ(parameters, static_cast<double>(net::Count(engine::EveryOpNetwork()).params));
  EXPECT_EQ(module.trainable(), room);
}

// Along a random direction, by central differences.
TEST(ModuleTest, GradientIsTheSlopeOfTheLoss) {
  SetTorchThreads(1);
  const net::Network network = engine::EveryOpNetwork();
  Module module(net::Lower(network));
  module.Load(engine::BusyWeights(network, 7));
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor images =
      at::randn({6, network.input.c, network.input.h, network.input.w}, generator, at::kFloat)
          .contiguous(at::MemoryFormat::ChannelsLast)
          .to(ComputeDevice());
  const at::Tensor labels = at::arange(6, at::kLong).remainder(7).to(ComputeDevice());
  const ExactFloat32 exact;
  const TrainingPass pass;
  const at::Tensor start = module.state().clone();
  const auto loss = [&] { return at::cross_entropy_loss(module.Forward(images, &pass), labels); };
  module.gradient().zero_();
  loss().backward();
  const at::Tensor gradient = module.gradient().clone();
  const at::Tensor direction = gradient / gradient.norm();
  const auto shifted = [&](double by) {
    const at::NoGradGuard no_grad;
    const at::Tensor& state = module.state();
    state.copy_(start);
    state.narrow(0, 0, module.trainable()).add_(direction, by);
    return loss().item<double>();
  };
  const double step = 2e-3;
  const double slope = (shifted(step) - shifted(-step)) / (2 * step);
  const auto expected = gradient.norm().item<double>();
  EXPECT_NEAR(slope, expected, 0.02 * expected);
}

TEST(ModuleTest, DropoutAndDropConnectChangeTrainingAlone) {
  SetTorchThreads(1);
  const net::Network network = engine::EveryOpNetwork();
  Module module(net::Lower(network));
  module.Load(engine::BusyWeights(network, 7));
  const at::Tensor images = at::ones({2, network.input.c, network.input.h, network.input.w})
                                .contiguous(at::MemoryFormat::ChannelsLast)
                                .to(ComputeDevice());
  const at::NoGradGuard no_grad;
  const auto run = [&](const TrainingPass& pass, uint64_t seed) {
    TrainingPass seeded = pass;
    seeded.generator = at::detail::createCPUGenerator(seed);
    return module.Forward(images, &seeded);
  };
  const at::Tensor plain = run({}, 1);
  for (const TrainingPass& pass :
       {TrainingPass{.dropout = 0.5}, TrainingPass{.drop_connect = 0.5}}) {
    EXPECT_TRUE(at::allclose(run(pass, 1), run(pass, 1), 1e-4, 1e-4));
    bool changed = false;
    for (uint64_t seed = 1; seed < 6; ++seed)
      changed |= !at::allclose(run(pass, seed), plain, 1e-2, 1e-2);
    EXPECT_TRUE(changed);
  }
}

class OptimizerTest : public testing::Test {
 protected:
  // Two steps with gradient 0.5 on a decayed parameter 1 and a free parameter 2.
  static std::vector<double> TwoSteps(const Recipe& recipe) {
    const at::Tensor parameters = at::tensor({1.0, 2.0}, at::kFloat);
    FlatOptimizer optimizer(recipe, parameters, 1);
    for (int64_t step = 0; step < 2; ++step) {
      at::Tensor gradient = at::full({2}, 0.5, at::kFloat);
      optimizer.Step(gradient, 0.1, step, 0, 2);
    }
    return {parameters[0].item<double>(), parameters[1].item<double>()};
  }
};

TEST_F(OptimizerTest, SgdWithNesterovMomentum) {
  Recipe recipe;
  recipe.optimizer = Optimizer::kSgd;
  recipe.momentum = 0.9;
  recipe.weight_decay = 0.2;
  // g = 0.5 + 0.2 p;  m = 0.9 m + g;  p -= 0.1 (g + 0.9 m)
  double decayed = 1, free = 2, m1 = 0, m2 = 0;
  for (int step = 0; step < 2; ++step) {
    const double g1 = 0.5 + 0.2 * decayed, g2 = 0.5;
    m1 = 0.9 * m1 + g1;
    m2 = 0.9 * m2 + g2;
    decayed -= 0.1 * (g1 + 0.9 * m1);
    free -= 0.1 * (g2 + 0.9 * m2);
  }
  const auto result = TwoSteps(recipe);
  EXPECT_NEAR(result[0], decayed, 1e-6);
  EXPECT_NEAR(result[1], free, 1e-6);
}

TEST_F(OptimizerTest, RmsPropAsInTensorFlow) {
  Recipe recipe;
  recipe.optimizer = Optimizer::kRmsPropTf;
  recipe.momentum = 0.9;
  recipe.weight_decay = 0;
  // squares: 1, then 0.9 + 0.1 * 0.25 = 0.925, then 0.8575;  step = 0.1 * 0.5 / sqrt(squares +
  // 0.001)
  const double first = 0.05 / std::sqrt(0.926), second = 0.9 * first + 0.05 / std::sqrt(0.8585);
  EXPECT_NEAR(TwoSteps(recipe)[1], 2 - first - second, 1e-6);
}

TEST_F(OptimizerTest, AdamWDecaysApartFromTheGradient) {
  Recipe recipe;
  recipe.optimizer = Optimizer::kAdamW;
  recipe.momentum = 0.9;
  recipe.weight_decay = 0.2;
  // A constant gradient makes both bias-corrected moments exact: every step is the rate itself.
  const auto result = TwoSteps(recipe);
  EXPECT_NEAR(result[1], 2 - 0.1 - 0.1, 1e-5);
  EXPECT_NEAR(result[0], (1 * 0.98 - 0.1) * 0.98 - 0.1, 1e-5);
}

}  // namespace
}  // namespace lathe::train
