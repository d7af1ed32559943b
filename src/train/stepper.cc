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

// Of this process's part of a batch. Every lane has images in every pass.
Division DivisionOf(const TrainOptions& options, int64_t batch) {
  constexpr int64_t kFewestImages = 8;  // with fewer, a lane spends its time on reading weights
  if (ComputeDevice() != at::kCPU) return {.threads = options.threads};
  const int processes = options.parallel.processes;
  const int64_t images = std::max<int64_t>(1, batch / processes / options.recipe.accumulate);
  const auto lanes = [](int64_t wanted, int64_t most) {
    return static_cast<int>(std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, most)));
  };
  if (options.recipe.lanes > 0)
    return {.lanes = lanes(options.recipe.lanes / processes, images), .at_once = options.threads};
  const int own = lanes(options.threads, images / kFewestImages);
  return {.lanes = own, .at_once = own, .threads = options.threads / own};
}

// A lane's part of vectors of parameters, in whole vectors of the processor.
LanePart PartOfVector(int64_t size, int lane, int lanes) {
  constexpr int64_t kUnit = 16;
  const LanePart units = PartOf((size + kUnit - 1) / kUnit, lane, lanes);
  return {units.begin * kUnit, std::min(size, units.end * kUnit)};
}

std::vector<Module> ModulesOf(const net::Network& network, int lanes) {
  std::vector<Module> modules;
  modules.emplace_back(net::Lower(network));
  while (std::ssize(modules) < lanes) modules.push_back(modules[0].SharingState());
  return modules;
}

at::Tensor LabelsOf(const std::vector<int64_t>& labels, int64_t begin, int64_t count) {
  return at::from_blob(const_cast<int64_t*>(labels.data()) + begin, {count}, at::kLong)
      .to(ComputeDevice());
}

}  // namespace

Stepper::Stepper(const net::Network& network, int64_t batch, const TrainOptions& options,
                 ProcessGroup* group)
    : options_(options),
      recipe_(options.recipe),
      group_(group),
      rank_(group != nullptr ? group->rank() : 0),
      processes_(group != nullptr ? group->size() : 1),
      batch_(batch),
      passes_per_step_(
          static_cast<int>(std::clamp<int64_t>(batch / processes_, 1, options.recipe.accumulate))),
      input_(network.input),
      scaled_(TypeOf(recipe_.precision) == at::kHalf),
      may_record_(ComputeDevice() != at::kCPU && group == nullptr && !options.teacher),
      lanes_(DivisionOf(options, batch)),
      modules_(ModulesOf(network, lanes_.count())),
      optimizer_(recipe_, module().state().narrow(0, 0, module().trainable()), module().decayed()) {
  module().Load(net::RandomWeights(net::Lower(network), SubSeed(options.seed, "weights")));
  if (recipe_.ema > 0) average_ = module().state().clone();
  if (scaled_) scale_ = at::tensor({65536.0, 0.0}, at::kFloat);  // as torch's GradScaler begins
}

Stepper::Outcome Stepper::Step(const data::Batch& batch, int64_t step, const Length& length,
                               bool stop) {
  const int lanes = lanes_.count();
  // The lanes' shares of the loss, and whether to stop.
  at::Tensor total = at::zeros({lanes + 1}, at::TensorOptions(at::kDouble).device(ComputeDevice()));
  lanes_.Run([&](int lane) {
    const at::Tensor loss = RunLane(batch, step, lane);
    const at::NoGradGuard no_grad;
    total[lane] += loss;
  });
  const at::NoGradGuard no_grad;
  InPairs(lanes, [&](int into, int from) { total[into] += total[from]; });
  if (group_ != nullptr) {
    total[lanes] = stop ? 1 : 0;
    group_->Sum(total);
    group_->Sum(module().gradient());
    module().gradient().div_(processes_);
  }
  const at::Tensor sums = total.cpu();
  const double loss = sums[0].item<double>() / processes_;
  if (!std::isfinite(loss)) {
    throw Error(ErrorKind::kInput,
                "training diverged: the loss is {} at step {} of {}; lower learning_rate (it is "
                "{}) or set clip_norm",
                loss, step + 1, length.steps, recipe_.learning_rate);
  }
  Update(step, length);
  return {.loss = loss, .any_stop = group_ != nullptr ? sums[lanes].item<double>() > 0 : stop};
}

LanePart Stepper::PartOfPass(int rank, int lane, int pass) const {
  const LanePart process = PartOf(batch_, rank, processes_);
  const LanePart own = PartOf(process.count(), lane, lanes_.count());
  // A part of each lane's images rather than of the batch, so that the lanes can be another
  // process's.
  const LanePart part = PartOf(own.count(), pass, passes_per_step_);
  return {own.begin + part.begin, own.begin + part.end};
}

int64_t Stepper::ImagesOfPass(int pass, bool of_all_processes) const {
  int64_t images = 0;
  for (int rank = 0; rank < processes_; ++rank) {
    if (rank != rank_ && !of_all_processes) continue;
    for (int lane = 0; lane < lanes_.count(); ++lane)
      images += PartOfPass(rank, lane, pass).count();
  }
  return images;
}

at::Tensor Stepper::RunLane(const data::Batch& batch, int64_t step, int lane) {
  NormGroup norm_group{.lanes = &lanes_,
                       .lane = lane,
                       .processes = recipe_.sync_norm ? group_ : nullptr,
                       .images = 0};
  TrainingPass pass{.dropout = recipe_.dropout,
                    .drop_connect = recipe_.drop_connect,
                    .type = TypeOf(recipe_.precision),
                    .of_images = batch_,
                    .group = &norm_group};
  Module& module = modules_[static_cast<size_t>(lane)];
  module.gradient().zero_();
  at::Tensor total = at::zeros({}, at::TensorOptions(at::kDouble).device(ComputeDevice()));
  for (int i = 0; i < passes_per_step_; ++i) {
    const LanePart part = PartOfPass(rank_, lane, i);
    norm_group.images = ImagesOfPass(i, recipe_.sync_norm);
    pass.first_image = PartOf(batch_, rank_, processes_).begin + part.begin;
    // From the start again: what is dropped of an image does not depend on how its batch is
    // divided.
    pass.generator = at::detail::createCPUGenerator(
        SubSeed(options_.seed, "dropout", static_cast<uint64_t>(step)));
    total += RunPass(module, InputOf(batch, part), pass);
  }
  AddUpGradients(lane);
  return total;
}

void Stepper::AddUpGradients(int lane) {
  lanes_.Meet();
  std::vector<float*> gradients;
  for (Module& module : modules_) gradients.push_back(module.gradient().data_ptr<float>());
  const LanePart part = PartOfVector(module().trainable(), lane, lanes_.count());
  AddInPairs<float>(gradients, part.begin, part.end);
}

PassInput Stepper::InputOf(const data::Batch& batch, const LanePart& part) const {
  const int64_t begin = part.begin, count = part.count();
  const int64_t image = int64_t{input_.c} * input_.h * input_.w;
  PassInput input{
      .images = ImagesOf(batch.images.data() + begin * image, count, input_),
      .targets = {.labels = LabelsOf(batch.labels, begin, count), .partners = {}, .shares = {}},
      .share = static_cast<double>(count * processes_) / static_cast<double>(batch_),
      .scale = scaled_ ? scale_[0].to(ComputeDevice()) : at::Tensor()};
  if (!batch.shares.empty()) {
    input.targets.partners = LabelsOf(batch.partner_labels, begin, count);
    input.targets.shares =
        at::from_blob(const_cast<float*>(batch.shares.data()) + begin, {count}, at::kFloat)
            .to(ComputeDevice());
  }
  return input;
}

at::Tensor Stepper::Pass(Module& module, const PassInput& input, const TrainingPass& pass) {
  const at::Tensor loss = Loss(module.Forward(input.images, &pass), input) * input.share;
  (input.scale.defined() ? loss * input.scale : loss).backward();
  return loss.detach();
}

// Recorded once the libraries know what they are asked for.
at::Tensor Stepper::RunPass(Module& module, const PassInput& input, TrainingPass pass) {
  constexpr int kBefore = 3;
  if (recorded_ && recorded_->Fits(input)) return recorded_->Run(input, pass);
  if (!may_record_ || recorded_) return Pass(module, input, pass);
  if (++passes_ <= kBefore) {
    MaskTape tape;
    pass.tape = &tape;
    const at::Tensor loss = Pass(module, input, pass);
    masks_ = std::move(tape.masks);
    return loss;
  }
  try {
    recorded_ = RecordPass(input, masks_, [&](const PassInput& own, MaskTape& tape) {
      pass.tape = &tape;
      return Pass(module, own, pass);
    });
  } catch (const c10::Error& error) {
    spdlog::debug("this training is not recorded: {}", error.what_without_backtrace());
    may_record_ = false;
    pass.tape = nullptr;
    return Pass(module, input, pass);
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
  at::Tensor& gradient = module().gradient();
  if (scaled_ && !Unscale(gradient)) return;
  if (recipe_.clip_norm > 0) {
    const auto norm = gradient.norm().item<double>();
    if (norm > recipe_.clip_norm) gradient.mul_(recipe_.clip_norm / norm);
  }
  const double rate = LearningRate(recipe_, step, length.steps, length.steps_per_epoch);
  lanes_.Run([&](int lane) {
    const at::NoGradGuard no_grad;
    const LanePart trained = PartOfVector(module().trainable(), lane, lanes_.count());
    optimizer_.Step(gradient, rate, step, trained.begin, trained.end);
    if (!average_.defined()) return;
    lanes_.Meet();
    const LanePart all = PartOfVector(average_.numel(), lane, lanes_.count());
    average_.narrow(0, all.begin, all.count())
        .lerp_(module().state().narrow(0, all.begin, all.count()), 1 - EmaDecay(recipe_, step));
  });
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
  std::vector<at::Tensor> memory{modules_[0].state()};
  if (average_.defined()) memory.push_back(average_);
  memory.insert(memory.end(), optimizer_.buffers().begin(), optimizer_.buffers().end());
  if (scale_.defined()) memory.push_back(scale_);
  return memory;
}

void Stepper::ShareStatistics() {
  if (group_ == nullptr || recipe_.sync_norm) return;
  const at::NoGradGuard no_grad;
  for (const at::Tensor& vector : {module().state(), average_}) {
    if (!vector.defined()) continue;
    at::Tensor statistics =
        vector.narrow(0, module().trainable(), vector.numel() - module().trainable());
    if (group_->rank() != 0) statistics.zero_();
    group_->Sum(statistics);
  }
}

}  // namespace lathe::train
