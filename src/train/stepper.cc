#include "train/stepper.h"

#include <spdlog/spdlog.h>
#include <torch/autograd.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "train/evaluate.h"
#include "train/kernels.h"
#include "train/schedule.h"

namespace lathe::train {
namespace {

at::ScalarType TypeOf(Precision precision) {
  const bool gpu = ComputeDevice() != at::kCPU;
  if (precision == Precision::kBf16 && (gpu || kernels::HasBFloat16())) return at::kBFloat16;
  return precision == Precision::kF16 && gpu ? at::kHalf : at::kFloat;
}

at::Tensor LabelsOf(const std::vector<int64_t>& labels, int64_t begin, int64_t count) {
  return at::from_blob(const_cast<int64_t*>(labels.data()) + begin, {count}, at::kLong)
      .to(ComputeDevice());
}

}  // namespace

Stepper::Stepper(const net::Network& network, const TrainOptions& options, ProcessGroup* group)
    : options_(options),
      recipe_(options.recipe),
      group_(group),
      input_(network.input),
      scaled_(TypeOf(recipe_.precision) == at::kHalf),
      may_record_(ComputeDevice() != at::kCPU && group == nullptr && !options.teacher),
      module_(net::Lower(network)),
      optimizer_(recipe_, module_.state().narrow(0, 0, module_.trainable()), module_.decayed()) {
  module_.Load(net::RandomWeights(net::Lower(network), SubSeed(options.seed, "weights")));
  if (recipe_.ema > 0) average_ = module_.state().clone();
  if (scaled_) scale_ = at::tensor({65536.0, 0.0}, at::kFloat);  // as torch's GradScaler begins
}

Stepper::Outcome Stepper::Step(const data::Batch& batch, int64_t step, const Length& length,
                               bool stop) {
  const int rank = group_ != nullptr ? group_->rank() : 0;
  const int processes = group_ != nullptr ? group_->size() : 1;
  TrainingPass pass{.dropout = recipe_.dropout,
                    .drop_connect = recipe_.drop_connect,
                    .type = TypeOf(recipe_.precision),
                    .of_images = int64_t{processes} * batch.count,
                    .group = recipe_.sync_norm ? group_ : nullptr};
  module_.gradient().zero_();
  at::Tensor total = at::zeros({2}, at::TensorOptions(at::kDouble).device(ComputeDevice()));
  const int64_t passes = std::min<int64_t>(recipe_.accumulate, batch.count);
  for (int64_t i = 0; i < passes; ++i) {
    const int64_t begin = batch.count * i / passes;
    const int64_t count = batch.count * (i + 1) / passes - begin;
    pass.first_image = int64_t{rank} * batch.count + begin;
    // From the start again: what is dropped of an image does not depend on how its batch is
    // divided.
    pass.generator = at::detail::createCPUGenerator(
        SubSeed(options_.seed, "dropout", static_cast<uint64_t>(step)));
    total[0] += RunPass(InputOf(batch, begin, count), pass);
  }
  const at::NoGradGuard no_grad;
  if (group_ != nullptr) {
    total[1] = stop ? 1 : 0;
    group_->Sum(total);
    group_->Sum(module_.gradient());
    module_.gradient().div_(processes);
  }
  const at::Tensor sums = total.cpu();
  const double loss = sums[0].item<double>() / processes;
  if (!std::isfinite(loss)) {
    throw Error(ErrorKind::kInput,
                "training diverged: the loss is {} at step {} of {}; lower learning_rate (it is "
                "{}) or set clip_norm",
                loss, step + 1, length.steps, recipe_.learning_rate);
  }
  Update(step, length);
  return {.loss = loss, .any_stop = group_ != nullptr ? sums[1].item<double>() > 0 : stop};
}

PassInput Stepper::InputOf(const data::Batch& batch, int64_t begin, int64_t count) const {
  const int64_t image = int64_t{input_.c} * input_.h * input_.w;
  PassInput input{
      .images = ImagesOf(batch.images.data() + begin * image, count, input_),
      .targets = {.labels = LabelsOf(batch.labels, begin, count), .partners = {}, .shares = {}},
      .share = static_cast<double>(count) / batch.count,
      .scale = scaled_ ? scale_[0].to(ComputeDevice()) : at::Tensor()};
  if (!batch.shares.empty()) {
    input.targets.partners = LabelsOf(batch.partner_labels, begin, count);
    input.targets.shares =
        at::from_blob(const_cast<float*>(batch.shares.data()) + begin, {count}, at::kFloat)
            .to(ComputeDevice());
  }
  return input;
}

at::Tensor Stepper::Pass(const PassInput& input, const TrainingPass& pass) {
  const at::Tensor loss = Loss(module_.Forward(input.images, &pass), input) * input.share;
  (input.scale.defined() ? loss * input.scale : loss).backward();
  return loss.detach();
}

// Recorded once the libraries know what they are asked for.
at::Tensor Stepper::RunPass(const PassInput& input, TrainingPass pass) {
  constexpr int kBefore = 3;
  if (recorded_ && recorded_->Fits(input)) return recorded_->Run(input, pass);
  if (!may_record_ || recorded_) return Pass(input, pass);
  if (++passes_ <= kBefore) {
    MaskTape tape;
    pass.tape = &tape;
    const at::Tensor loss = Pass(input, pass);
    masks_ = std::move(tape.masks);
    return loss;
  }
  try {
    recorded_ = RecordPass(input, masks_, [&](const PassInput& own, MaskTape& tape) {
      pass.tape = &tape;
      return Pass(own, pass);
    });
  } catch (const c10::Error& error) {
    spdlog::debug("this training is not recorded: {}", error.what_without_backtrace());
    may_record_ = false;
    pass.tape = nullptr;
    return Pass(input, pass);
  }
  return recorded_->Run(input, pass);
}

at::Tensor Stepper::Loss(const at::Tensor& logits, const PassInput& input) {
  const at::Tensor loss = CrossEntropy(logits, input.targets, recipe_.label_smoothing);
  const Distillation& distillation = recipe_.distillation;
  if (!options_.teacher || distillation.weight == 0) return loss;
  const at::Tensor answers = AskTeacher(input.images).to(logits.device());
  return loss * (1 - distillation.weight) +
         DistillationLoss(logits, answers, distillation) * distillation.weight;
}

at::Tensor Stepper::AskTeacher(const at::Tensor& student_images) {
  const at::NoGradGuard no_grad;
  const data::Preprocessing& own = options_.preprocessing;
  const data::Preprocessing& wanted = options_.teacher->preprocessing();
  at::Tensor images = student_images.cpu();
  const auto channels = [&](const std::array<float, 3>& values) {
    return at::tensor(at::ArrayRef<float>(values.data(), static_cast<size_t>(own.channels)))
        .view({1, own.channels, 1, 1});
  };
  if (own.mean != wanted.mean || own.std != wanted.std) {
    images = (images * channels(own.std) + (channels(own.mean) - channels(wanted.mean))) /
             channels(wanted.std);
  }
  if (own.resolution != wanted.resolution) {
    images = at::_upsample_bilinear2d_aa(images, {wanted.resolution, wanted.resolution}, false);
  }
  const at::Tensor nhwc = images.permute({0, 2, 3, 1}).contiguous();
  const std::span<const float> values(nhwc.const_data_ptr<float>(),
                                      static_cast<size_t>(nhwc.numel()));
  const int64_t count = images.size(0);
  std::vector<float> logits = options_.teacher->Logits(values, static_cast<int>(count));
  return at::from_blob(logits.data(), {count, std::ssize(logits) / count}, at::kFloat).clone();
}

void Stepper::Update(int64_t step, const Length& length) {
  at::Tensor& gradient = module_.gradient();
  if (scaled_ && !Unscale(gradient)) return;
  if (recipe_.clip_norm > 0) {
    const auto norm = gradient.norm().item<double>();
    if (norm > recipe_.clip_norm) gradient.mul_(recipe_.clip_norm / norm);
  }
  const double rate = LearningRate(recipe_, step, length.steps, length.steps_per_epoch);
  optimizer_.Step(gradient, rate, step);
  if (average_.defined()) average_.lerp_(module_.state(), 1 - EmaDecay(recipe_, step));
}

// Dynamic loss scaling (Micikevicius et al. 2018): halved where the gradient overflows, which skips
// the step; doubled after 2,000 steps without. False: skip.
bool Stepper::Unscale(at::Tensor& gradient) {
  const auto factor = scale_[0].item<double>();
  gradient.div_(factor);
  if (!std::isfinite(gradient.sum().item<double>())) {
    scale_[0] = std::max(1.0, factor / 2);
    scale_[1] = 0;
    return false;
  }
  scale_[1] += 1;
  if (scale_[1].item<double>() >= 2000) {
    scale_[0] = factor * 2;
    scale_[1] = 0;
  }
  return true;
}

std::vector<at::Tensor> Stepper::Memory() const {
  std::vector<at::Tensor> memory{module_.state()};
  if (average_.defined()) memory.push_back(average_);
  memory.insert(memory.end(), optimizer_.buffers().begin(), optimizer_.buffers().end());
  if (scale_.defined()) memory.push_back(scale_);
  return memory;
}

void Stepper::ShareStatistics() {
  if (group_ == nullptr || recipe_.sync_norm) return;
  const at::NoGradGuard no_grad;
  for (const at::Tensor& vector : {module_.state(), average_}) {
    if (!vector.defined()) continue;
    at::Tensor statistics =
        vector.narrow(0, module_.trainable(), vector.numel() - module_.trainable());
    if (group_->rank() != 0) statistics.zero_();
    group_->Sum(statistics);
  }
}

}  // namespace lathe::train
