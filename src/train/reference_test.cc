// Against values that torch's Python and timm gave: bench/train/reference_values.py.
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "net/network_file.h"
#include "train/losses.h"
#include "train/module.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/torch_guard.h"

namespace lathe::train {
namespace {

using Json = nlohmann::json;

const std::string kFolder = LATHE_SOURCE_DIR "/src/train/testdata/";

Json Values(const char* part) {
  static const Json all = Json::parse(ReadFile(kFolder + "reference_values.json"));
  return all.at(part);
}

at::Tensor TensorOf(const Json& json) {
  if (!json[0].is_array()) return at::tensor(json.get<std::vector<double>>()).to(at::kFloat);
  std::vector<at::Tensor> rows;
  for (const Json& row : json) rows.push_back(TensorOf(row));
  return at::stack(rows);
}

void ExpectNear(const at::Tensor& found, const at::Tensor& expected, double tolerance,
                const std::string& what) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  const auto difference = (found - expected).abs().max().item<double>();
  const double scale = std::max(1e-3, expected.abs().max().item<double>());
  EXPECT_LE(difference, tolerance * scale) << what;
}

TEST(ReferenceTest, OptimizersStepByStep) {
  const Json values = Values("optimizers");
  const std::map<std::string, Optimizer> names{{"sgd", Optimizer::kSgd},
                                               {"adamw", Optimizer::kAdamW},
                                               {"rmsprop-tf", Optimizer::kRmsPropTf}};
  EXPECT_GE(values.at("cases").size(), 6u);
  for (const Json& example : values.at("cases")) {
    Recipe recipe;
    recipe.optimizer = names.at(example.at("optimizer"));
    recipe.momentum = example.at("momentum");
    recipe.weight_decay = example.at("weight_decay");
    const at::Tensor parameters = TensorOf(values.at("start"));
    FlatOptimizer optimizer(recipe, parameters, recipe.weight_decay > 0 ? parameters.numel() : 0);
    for (size_t step = 0; step < example.at("parameters").size(); ++step) {
      at::Tensor gradient = TensorOf(values.at("gradients").at(step));
      optimizer.Step(gradient, example.at("learning_rates").at(step), static_cast<int64_t>(step), 0,
                     gradient.numel());
      ExpectNear(parameters, TensorOf(example.at("parameters").at(step)), 2e-6,
                 fmt::format("{} step {}", example.at("from").get<std::string>(), step));
    }
  }
}

TEST(ReferenceTest, SchedulesUpdateByUpdate) {
  const Json values = Values("schedules");
  const int64_t per_epoch = values.at("steps_per_epoch");
  const int64_t steps = per_epoch * values.at("epochs").get<int64_t>();
  Recipe recipe;
  recipe.learning_rate = values.at("learning_rate");
  recipe.warmup = values.at("warmup_epochs").get<double>() / values.at("epochs").get<double>();
  recipe.warmup_start = values.at("warmup_start");
  recipe.step_epochs = values.at("step_epochs");
  recipe.step_factor = values.at("step_factor");
  recipe.schedule = Schedule::kStep;
  const Json stairs = values.at("step").at("by_update");
  ASSERT_EQ(std::ssize(stairs), steps);
  for (int64_t step = 0; step < steps; ++step) {
    EXPECT_NEAR(LearningRate(recipe, step, steps, per_epoch),
                stairs.at(static_cast<size_t>(step)).get<double>(), 1e-12)
        << step;
  }
  // timm's curve ends at a minimum, ours at zero.
  recipe.schedule = Schedule::kCosine;
  const Json cosine = values.at("cosine_warmup_prefix").at("by_update");
  const double least = values.at("cosine_minimum"), peak = recipe.learning_rate;
  for (int64_t step = 0; step < steps; ++step) {
    const double own = LearningRate(recipe, step, steps, per_epoch);
    const bool warm = static_cast<double>(step) < recipe.warmup * static_cast<double>(steps);
    EXPECT_NEAR(warm ? own : least + own * (peak - least) / peak,
                cosine.at(static_cast<size_t>(step)).get<double>(), 1e-9)
        << step;
  }
}

TEST(ReferenceTest, AveragesUpdateByUpdate) {
  const Json values = Values("averages"), warm = values.at("tensorflow_warmup");
  Recipe recipe;
  recipe.ema = warm.at("decay");
  const at::Tensor average = TensorOf(values.at("start"));
  for (size_t step = 0; step < warm.at("averages").size(); ++step) {
    const double decay = EmaDecay(recipe, static_cast<int64_t>(step));
    EXPECT_NEAR(decay, warm.at("decays").at(step).get<double>(), 1e-12);
    average.lerp_(TensorOf(values.at("values").at(step)), 1 - decay);
    ExpectNear(average, TensorOf(warm.at("averages").at(step)), 1e-6, fmt::format("{}", step));
  }
}

TEST(ReferenceTest, LossesAndTheirGradients) {
  const Json values = Values("losses");
  const auto longs = [&](const char* name) {
    return at::tensor(values.at(name).get<std::vector<int64_t>>());
  };
  const Targets plain{.labels = longs("labels"), .partners = {}, .shares = {}};
  const Targets mixed{.labels = longs("labels"),
                      .partners = longs("partner_labels"),
                      .shares = TensorOf(values.at("shares"))};
  const at::Tensor teacher = TensorOf(values.at("teacher_logits"));
  using Kind = Distillation::Kind;
  const std::map<std::string, std::function<at::Tensor(const at::Tensor&)>> losses{
      {"cross_entropy", [&](const at::Tensor& x) { return CrossEntropy(x, plain, 0); }},
      {"label_smoothing_0.1", [&](const at::Tensor& x) { return CrossEntropy(x, plain, 0.1); }},
      {"mixed", [&](const at::Tensor& x) { return CrossEntropy(x, mixed, 0); }},
      {"mixed_label_smoothing_0.1",
       [&](const at::Tensor& x) { return CrossEntropy(x, mixed, 0.1); }},
      {"distillation_temperature_1",
       [&](const at::Tensor& x) { return DistillationLoss(x, teacher, {.temperature = 1}); }},
      {"distillation_temperature_4",
       [&](const at::Tensor& x) { return DistillationLoss(x, teacher, {.temperature = 4}); }},
      {"distillation_hard",
       [&](const at::Tensor& x) { return DistillationLoss(x, teacher, {.kind = Kind::kHard}); }},
      {"half_smoothed_half_distilled_temperature_4", [&](const at::Tensor& x) {
         return CrossEntropy(x, plain, 0.1) * 0.5 +
                DistillationLoss(x, teacher, {.temperature = 4}) * 0.5;
       }}};
  for (const auto& [name, example] : values.at("cases").items()) {
    at::Tensor logits = TensorOf(values.at("logits")).requires_grad_(true);
    const at::Tensor loss = losses.at(name)(logits);
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), example.at("loss").get<double>(), 2e-6) << name;
    ExpectNear(logits.grad(), TensorOf(example.at("gradient")), 1e-5, name);
  }
}

// Every operation in a small network: logits of both modes, loss, the gradient of every parameter
// and the running statistics after one step.
TEST(ReferenceTest, LayersForwardsAndBackwards) {
  const ExactFloat32 exact;
  const Json layers = Json::parse(ReadFile(kFolder + "layers.json"));
  const net::Weights tensors =
      net::ReadSafetensors(kFolder + layers.at("tensors").get<std::string>());
  const auto tensor = [&](const std::string& name) {
    const net::Tensor& found = tensors.at(name);
    return at::from_blob(const_cast<float*>(found.values.data()), found.shape, at::kFloat);
  };
  EXPECT_GE(layers.at("cases").size(), 25u);
  for (const Json& example : layers.at("cases")) {
    const net::Network network = net::ParseNetwork(example.at("network").dump(), "layers.json");
    const std::string& name = network.name;
    Module module(net::Lower(network));
    net::Weights weights;
    const std::string prefix = name + "/weight/";
    for (const auto& [key, value] : tensors.tensors) {
      if (key.starts_with(prefix)) weights.tensors[key.substr(prefix.size())] = value;
    }
    module.Load(weights);
    const at::Tensor images =
        tensor(example.at("image")).contiguous(at::MemoryFormat::ChannelsLast).to(ComputeDevice());
    {
      const at::NoGradGuard no_grad;
      ExpectNear(module.Forward(images).cpu(), tensor(name + "/eval_logits"), 1e-4, name);
    }
    const TrainingPass pass;
    const at::Tensor logits = module.Forward(images, &pass);
    const at::Tensor labels = at::tensor(example.at("labels").get<std::vector<int64_t>>());
    const Targets targets{.labels = labels.to(ComputeDevice()), .partners = {}, .shares = {}};
    const at::Tensor loss = CrossEntropy(logits, targets, 0);
    module.gradient().zero_();
    loss.backward();
    ExpectNear(logits.detach().cpu(), tensor(name + "/logits"), 1e-4, name);
    EXPECT_NEAR(loss.item<double>(), example.at("loss").get<double>(), 1e-4) << name;
    at::Tensor flat = module.state().clone();
    flat.narrow(0, 0, module.trainable()).copy_(module.gradient());
    for (const auto& [key, found] : module.Export(flat).tensors) {
      const bool statistic = key.ends_with(".mean") || key.ends_with(".var");
      const std::string reference = name + (statistic ? "/after/" : "/gradient/") + key;
      ExpectNear(at::tensor(found.values).view(found.shape), tensor(reference), 1e-3, reference);
    }
  }
}

}  // namespace
}  // namespace lathe::train
