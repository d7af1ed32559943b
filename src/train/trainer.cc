#include "train/trainer.h"

#include <torch/autograd.h>

#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "net/network_file.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/kernels.h"
#include "train/module.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/torch_guard.h"

namespace lathe::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kProgressInterval = std::chrono::milliseconds(300);
constexpr auto kSaveInterval = std::chrono::minutes(2);
constexpr int kEvaluationBatch = 256;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void CheckInput(const net::Network& network, const data::Dataset& train,
                const data::Dataset& evaluation, const data::Preprocessing& preprocessing) {
  const net::Shape wanted{preprocessing.channels, preprocessing.resolution,
                          preprocessing.resolution};
  if (network.input != wanted) {
    throw Error(ErrorKind::kInput,
                "the network takes images of {} x {} x {}, the data gives {} x {} x {}",
                network.input.h, network.input.w, network.input.c, wanted.h, wanted.w, wanted.c);
  }
  const auto classes =
      std::max(std::ssize(train.class_names()), std::ssize(evaluation.class_names()));
  if (network.num_classes() < classes) {
    throw Error(ErrorKind::kInput, "the network has {} classes, the data set {}",
                network.num_classes(), classes);
  }
}

// Data is made by the caller's thread if that is all there is; a GPU, or several threads, can be
// fed meanwhile.
int LoaderThreads(int threads) {
  if (ComputeDevice() != at::kCPU) return std::max(1, threads);
  return threads > 1 ? 1 : 0;
}

bool HasFastBFloat16() { return ComputeDevice() != at::kCPU || kernels::HasBFloat16(); }

class Training {
 public:
  Training(const net::Network& network, std::shared_ptr<const data::Dataset> train,
           std::shared_ptr<const data::Dataset> evaluation, const TrainOptions& options)
      : options_(options),
        recipe_(options.recipe),
        input_(network.input),
        fingerprint_(Fingerprint(network, *train, options)),
        train_loader_(std::move(train), {.preprocessing = options.preprocessing,
                                         .augmentation = recipe_.augmentation,
                                         .batch = recipe_.batch,
                                         .threads = LoaderThreads(options.threads),
                                         .seed = SubSeed(options.seed, "loader"),
                                         .training = true}),
        evaluation_loader_(std::move(evaluation), {.preprocessing = options.preprocessing,
                                                   .augmentation = {},
                                                   .batch = kEvaluationBatch,
                                                   .threads = LoaderThreads(options.threads)}),
        module_(net::Lower(network)),
        optimizer_(recipe_, module_.state().narrow(0, 0, module_.trainable()), module_.decayed()) {
    module_.Load(net::RandomWeights(net::Lower(network), SubSeed(options.seed, "weights")));
    average_ = recipe_.ema > 0 ? module_.state().clone() : at::Tensor();
    pass_ = {.dropout = recipe_.dropout,
             .drop_connect = recipe_.drop_connect,
             .bf16 = recipe_.bf16 && HasFastBFloat16(),
             .generator = at::detail::createCPUGenerator()};
    const Length length = LengthOf(recipe_, train_loader_.batches_per_epoch());
    steps_per_epoch_ = length.steps_per_epoch;
    steps_ = length.steps;
  }

  TrainResult Run() {
    Resume();
    started_ = saved_ = reported_ = Clock::now();
    while (step_ < steps_) {
      if (!RunEpoch()) return {.interrupted = true, .epochs = epochs_, .images_seen = ImagesSeen()};
    }
    const EpochMetrics& last = epochs_.back();
    return {.epochs = epochs_,
            .loss = last.loss,
            .accuracy = last.accuracy,
            .images_seen = ImagesSeen(),
            .weights = module_.Export(average_.defined() ? average_ : module_.state())};
  }

 private:
  static std::string Fingerprint(const net::Network& network, const data::Dataset& train,
                                 const TrainOptions& options) {
    const data::Preprocessing& pre = options.preprocessing;
    return fmt::format("{:016x}",
                       HashBytes(fmt::format("{}{}{} {} {} {}", net::ToJson(network),
                                             ToToml(options.recipe), options.seed, train.size(),
                                             fmt::join(pre.mean, ","), fmt::join(pre.std, ","))));
  }

  // False: stopped on request.
  bool RunEpoch() {
    const int64_t epoch = step_ / steps_per_epoch_;
    const int64_t first = epoch * steps_per_epoch_;
    const int64_t end = std::min(steps_, first + steps_per_epoch_);
    const auto epoch_started = Clock::now();
    const int64_t resumed_at = step_;
    const auto rate = [&] {
      return static_cast<double>((step_ - resumed_at) * recipe_.batch) /
             std::max(1e-9, SecondsSince(epoch_started));
    };
    train_loader_.StartEpoch(static_cast<int>(epoch), step_ - first);
    while (step_ < end) {
      if (options_.stop && options_.stop()) {
        Save();
        return false;
      }
      train_loader_.Next(batch_);
      loss_sum_ += Step();
      ++step_;
      if (SecondsSince(saved_) > std::chrono::duration<double>(kSaveInterval).count()) Save();
      if (options_.on_progress && Clock::now() - reported_ > kProgressInterval) {
        reported_ = Clock::now();
        options_.on_progress(
            {.epoch = static_cast<int>(epoch) + 1,
             .step = step_,
             .steps = steps_,
             .train_loss = loss_sum_ / static_cast<double>(step_ - first),
             .images_per_second = rate(),
             .seconds_left = static_cast<double>((steps_ - step_) * recipe_.batch) / rate()});
      }
    }
    const double images_per_second = rate();
    const double train_loss = loss_sum_ / static_cast<double>(end - first);
    loss_sum_ = 0;
    if (options_.evaluate_every_epoch || step_ == steps_) {
      const Score score = Evaluate();
      epochs_.push_back({.epoch = static_cast<int>(epoch) + 1,
                         .train_loss = train_loss,
                         .loss = score.loss,
                         .accuracy = score.accuracy,
                         .images_per_second = images_per_second,
                         .seconds = Seconds()});
      if (options_.on_epoch) options_.on_epoch(epochs_.back());
    }
    Save();
    return true;
  }

  // One batch; returns its loss.
  double Step() {
    pass_.generator.set_current_seed(
        SubSeed(options_.seed, "dropout", static_cast<uint64_t>(step_)));
    module_.gradient().zero_();
    const at::Tensor logits =
        module_.Forward(ImagesOf(batch_.images.data(), batch_.count, input_), &pass_);
    const at::Tensor labels =
        at::from_blob(batch_.labels.data(), {batch_.count}, at::kLong).to(logits.device());
    const at::Tensor loss = at::cross_entropy_loss(logits, labels, {}, at::Reduction::Mean, -100,
                                                   recipe_.label_smoothing);
    const auto value = loss.item<double>();
    if (!std::isfinite(value)) {
      throw Error(ErrorKind::kInput,
                  "training diverged: the loss is {} at step {} of {}; lower learning_rate (it is "
                  "{}) or set clip_norm",
                  value, step_ + 1, steps_, recipe_.learning_rate);
    }
    loss.backward();
    const at::NoGradGuard no_grad;
    at::Tensor& gradient = module_.gradient();
    if (recipe_.clip_norm > 0) {
      const auto norm = gradient.norm().item<double>();
      if (norm > recipe_.clip_norm) gradient.mul_(recipe_.clip_norm / norm);
    }
    optimizer_.Step(gradient, LearningRate(recipe_, step_, steps_, steps_per_epoch_), step_);
    if (average_.defined()) average_.lerp_(module_.state(), 1 - EmaDecay(recipe_, step_));
    return value;
  }

  Score Evaluate() {
    at::Tensor state = module_.state();
    const at::Tensor trained = average_.defined() ? state.clone() : at::Tensor();
    const at::NoGradGuard no_grad;
    if (average_.defined()) state.copy_(average_);
    const Score score = train::Evaluate(module_, evaluation_loader_, input_);
    if (average_.defined()) state.copy_(trained);
    if (!std::isfinite(score.loss)) {
      throw Error(ErrorKind::kInput,
                  "training diverged: the evaluation loss is {}; lower learning_rate (it is {})",
                  score.loss, recipe_.learning_rate);
    }
    return score;
  }

  std::vector<at::Tensor> Vectors() const {
    std::vector<at::Tensor> vectors{module_.state()};
    if (average_.defined()) vectors.push_back(average_);
    vectors.insert(vectors.end(), optimizer_.buffers().begin(), optimizer_.buffers().end());
    return vectors;
  }

  void Save() {
    saved_ = Clock::now();
    if (options_.checkpoint.empty()) return;
    Checkpoint checkpoint{.fingerprint = fingerprint_,
                          .step = step_,
                          .seconds = Seconds(),
                          .loss_sum = loss_sum_,
                          .epochs = epochs_,
                          .vectors = {}};
    for (const at::Tensor& vector : Vectors()) {
      const at::Tensor host = vector.to(at::kCPU);
      const auto* values = host.const_data_ptr<float>();
      checkpoint.vectors.emplace_back(values, values + host.numel());
    }
    WriteCheckpoint(options_.checkpoint, checkpoint);
  }

  void Resume() {
    if (options_.checkpoint.empty() || !fs::exists(options_.checkpoint)) return;
    Checkpoint checkpoint = ReadCheckpoint(options_.checkpoint, fingerprint_);
    std::vector<at::Tensor> vectors = Vectors();
    bool fits = checkpoint.vectors.size() == vectors.size();
    for (size_t i = 0; fits && i < vectors.size(); ++i) {
      fits = std::ssize(checkpoint.vectors[i]) == vectors[i].numel();
      if (fits)
        vectors[i].copy_(
            at::from_blob(checkpoint.vectors[i].data(), {vectors[i].numel()}, at::kFloat));
    }
    if (!fits) {
      throw Error(ErrorKind::kInput,
                  "{}: its tensors have the wrong sizes; remove it to start over",
                  options_.checkpoint.string());
    }
    step_ = checkpoint.step;
    loss_sum_ = checkpoint.loss_sum;
    seconds_before_ = checkpoint.seconds;
    epochs_ = std::move(checkpoint.epochs);
  }

  double Seconds() const { return seconds_before_ + SecondsSince(started_); }
  int64_t ImagesSeen() const { return step_ * recipe_.batch; }

  const TrainOptions& options_;
  const Recipe& recipe_;
  const net::Shape input_;
  const std::string fingerprint_;
  data::Loader train_loader_, evaluation_loader_;
  data::Batch batch_;
  Module module_;
  FlatOptimizer optimizer_;
  at::Tensor average_;  // of the state; undefined without EMA
  TrainingPass pass_;
  int64_t steps_per_epoch_ = 0, steps_ = 0, step_ = 0;
  double loss_sum_ = 0;  // over the running epoch
  double seconds_before_ = 0;
  std::vector<EpochMetrics> epochs_;
  Clock::time_point started_, saved_, reported_;
};

}  // namespace

TrainResult Train(const net::Network& network, std::shared_ptr<const data::Dataset> train,
                  std::shared_ptr<const data::Dataset> evaluation, const TrainOptions& options) {
  CheckInput(network, *train, *evaluation, options.preprocessing);
  return GuardTorch([&] {
    SetTorchThreads(options.threads);
    return Training(network, train, evaluation, options).Run();
  });
}

}  // namespace lathe::train
