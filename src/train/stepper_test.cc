#include "train/stepper.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/reference_testing.h"
#include "train/torch_guard.h"

namespace lathe::train {
namespace {

class StepperTest : public testing::Test {
 protected:
  StepperTest() {
    SetTorchThreads(1);
    options_.preprocessing = {.resolution = 16, .channels = 3};
    options_.recipe.warmup = 0;
    options_.recipe.learning_rate = 0.1;
  }

  // `count` images of the network's size.
  data::Batch RandomBatch(int count, uint64_t seed) const {
    data::Batch batch{.count = count, .images = engine::RandomImages(network_, count, seed)};
    Random random(seed);
    for (int i = 0; i < count; ++i) batch.labels.push_back(static_cast<int64_t>(random.Below(7)));
    return batch;
  }

  struct After {
    double loss;
    at::Tensor parameters;
  };
  After OneStep(const data::Batch& batch) {
    Stepper stepper(network_, batch.count, options_, nullptr);
    const Stepper::Outcome outcome =
        stepper.Step(batch, 0, {.steps_per_epoch = 10, .steps = 10}, false);
    const Module& module = stepper.module();
    return {outcome.loss, module.state().narrow(0, 0, module.trainable()).clone()};
  }

  const net::Network network_ = engine::EveryOpNetwork();
  TrainOptions options_;
};

TEST_F(StepperTest, PassesOverPartsAddUp) {
  const data::Batch half = RandomBatch(4, 3);
  data::Batch whole = half;  // twice the same, so that norms see the same in each part
  whole.count = 8;
  whole.images.insert(whole.images.end(), half.images.begin(), half.images.end());
  whole.labels.insert(whole.labels.end(), half.labels.begin(), half.labels.end());
  options_.recipe.lanes = 1;  // so that each pass sees one of the halves
  const After once = OneStep(half);
  options_.recipe.accumulate = 2;
  const After accumulated = OneStep(whole);
  EXPECT_NEAR(accumulated.loss, once.loss, 1e-5);
  EXPECT_TRUE(at::allclose(accumulated.parameters, once.parameters, 1e-4, 1e-6));
  options_.recipe.accumulate = 4;  // other norms, so another step
  EXPECT_FALSE(at::allclose(OneStep(whole).parameters, once.parameters, 1e-4, 1e-6));
}

TEST_F(StepperTest, MixedLabelsCount) {
  data::Batch batch = RandomBatch(4, 3);
  const double plain = OneStep(batch).loss;
  batch.partner_labels = {batch.labels[1], batch.labels[0], batch.labels[3], batch.labels[2]};
  batch.shares = {1, 1, 1, 1};
  EXPECT_NEAR(OneStep(batch).loss, plain, 1e-6);
  batch.shares = {0, 0, 0, 0};
  data::Batch swapped = RandomBatch(4, 3);
  swapped.labels = batch.partner_labels;
  EXPECT_NEAR(OneStep(batch).loss, OneStep(swapped).loss, 1e-6);
}

// Answers as it is told, and keeps what it was shown.
class FixedTeacher final : public Teacher {
 public:
  FixedTeacher(const data::Preprocessing& preprocessing, int classes, int favourite)
      : preprocessing_(preprocessing), classes_(classes), favourite_(favourite) {}
  const data::Preprocessing& preprocessing() const override { return preprocessing_; }
  std::vector<float> Logits(std::span<const float> images, int count) override {
    const std::lock_guard lock(mutex_);
    seen.assign(images.begin(), images.end());
    std::vector<float> logits(static_cast<size_t>(count * classes_));
    for (int i = 0; i < count; ++i) logits[static_cast<size_t>(i * classes_ + favourite_)] = 100;
    return logits;
  }
  std::vector<float> seen;

 private:
  const data::Preprocessing preprocessing_;
  const int classes_, favourite_;
  std::mutex mutex_;
};

TEST_F(StepperTest, TheTeachersShareOfTheLoss) {
  data::Batch batch = RandomBatch(4, 3);
  const double plain = OneStep(batch).loss;
  batch.labels = {5, 5, 5, 5};
  const double favourite = OneStep(batch).loss;
  batch = RandomBatch(4, 3);
  options_.teacher = std::make_shared<FixedTeacher>(options_.preprocessing, 7, 5);
  for (const Distillation::Kind kind : {Distillation::Kind::kSoft, Distillation::Kind::kHard}) {
    options_.recipe.distillation = {.kind = kind, .weight = 0.25};
    EXPECT_NEAR(OneStep(batch).loss, 0.75 * plain + 0.25 * favourite, 1e-5);
  }
}

TEST_F(StepperTest, TheTeacherSeesImagesAsItWantsThem) {
  data::Preprocessing wanted = options_.preprocessing;
  wanted.resolution = 4;
  wanted.mean = {0.25f, 0.5f, 0.75f};
  wanted.std = {0.5f, 0.25f, 0.125f};
  const auto teacher = std::make_shared<FixedTeacher>(wanted, 7, 0);
  options_.teacher = teacher;
  data::Batch batch = RandomBatch(1, 3);
  std::fill(batch.images.begin(), batch.images.end(), 1.0f);  // pixels of mean + std = 0.75
  OneStep(batch);
  ASSERT_EQ(teacher->seen.size(), 4u * 4 * 3);
  for (size_t i = 0; i < teacher->seen.size(); ++i) {
    const float expected[] = {1, 1, 0};
    EXPECT_NEAR(teacher->seen[i], expected[i % 3], 1e-5) << i;
  }
}

TEST(RecordedPassTest, DoesWhatThePassDoes) {
  if (ComputeDevice() == at::kCPU) GTEST_SKIP() << "SKIPPED: passes are recorded on GPUs alone";
  SetTorchThreads(1);
  const ExactFloat32 exact;
  const net::Network network = engine::EveryOpNetwork();
  Module module(net::Lower(network));
  module.Load(engine::BusyWeights(network, 7));
  const auto input = [&](uint64_t seed) {
    const auto generator = at::detail::createCPUGenerator(seed);
    const auto classes = at::empty({6}, at::kLong).random_(0, 7, generator);
    return PassInput{
        .images =
            at::randn({6, network.input.c, network.input.h, network.input.w}, generator, at::kFloat)
                .contiguous(at::MemoryFormat::ChannelsLast)
                .to(ComputeDevice()),
        .targets = {.labels = classes.to(ComputeDevice()), .partners = {}, .shares = {}},
        .share = 1,
        .scale = {}};
  };
  TrainingPass pass{.dropout = 0.3, .drop_connect = 0.3};
  MaskTape drawn;
  const auto work = [&](const PassInput& own, MaskTape& tape) {
    pass.tape = &tape;
    const at::Tensor logits = module.Forward(own.images, &pass);
    const at::Tensor loss = CrossEntropy(logits, own.targets, 0.1);
    loss.backward();
    return loss.detach();
  };
  const at::Tensor start = module.state().clone();
  struct After {
    double loss;
    at::Tensor gradient, state;
  };
  const auto after = [&](const auto& run) {
    const at::NoGradGuard no_grad;
    at::Tensor state = module.state();
    state.copy_(start);
    module.gradient().zero_();
    at::AutoGradMode grad(true);
    const double loss = run().template item<double>();
    return After{loss, module.gradient().clone(), module.state().clone()};
  };
  const auto plainly = [&](const PassInput& own, uint64_t seed) {
    return after([&] {
      pass.generator = at::detail::createCPUGenerator(seed);
      drawn = {};
      return work(own, drawn);
    });
  };
  for (uint64_t seed = 0; seed < 3; ++seed) plainly(input(seed), seed);
  const std::unique_ptr<RecordedPass> recorded = RecordPass(input(1), drawn.masks, work);
  for (uint64_t seed = 5; seed < 8; ++seed) {
    const PassInput own = input(seed);
    ASSERT_TRUE(recorded->Fits(own));
    const After expected = plainly(own, seed);
    pass.generator = at::detail::createCPUGenerator(seed);
    const After found = after([&] { return recorded->Run(own, pass); });
    EXPECT_NEAR(found.loss, expected.loss, 1e-4);
    EXPECT_TRUE(at::allclose(found.gradient, expected.gradient, 1e-2, 1e-4)) << seed;
    EXPECT_TRUE(at::allclose(found.state, expected.state, 1e-3, 1e-5)) << seed;
  }
  PassInput smaller = input(1);
  smaller.images = smaller.images.narrow(0, 0, 3);
  EXPECT_FALSE(recorded->Fits(smaller));
}

}  // namespace
}  // namespace lathe::train
