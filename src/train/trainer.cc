#include "train/trainer.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "data/preprocessing_file.h"
#include "net/network_file.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/schedule.h"
#include "train/stepper.h"
#include "train/torch_guard.h"

namespace lathe::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kProgressInterval = std::chrono::milliseconds(300);
constexpr auto kSaveInterval = std::chrono::minutes(2);
constexpr int kEvaluationBatch = 256;

void CheckInput(const net::Network& network, const data::Dataset& train,
                const data::Dataset& evaluation, const TrainOptions& options) {
  const data::Preprocessing& preprocessing = options.preprocessing;
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
  const int processes = options.parallel.processes;
  if (options.recipe.batch % processes != 0) {
    throw Error(ErrorKind::kInput,
                "a batch of {} cannot be shared equally by {} processes; choose a multiple",
                options.recipe.batch, processes);
  }
  if (!options.recipe.distillation.teacher.empty() && !options.teacher) {
    throw Error(ErrorKind::kInternal, "the recipe names a teacher, none was given");
  }
}

// Data is made by the caller's thread if that is all there is; a GPU, or several threads, can be
// fed meanwhile.
int LoaderThreads(int threads) {
  if (ComputeDevice() != at::kCPU) return std::max(1, threads);
  return threads > 1 ? 1 : 0;
}

std::unique_ptr<ProcessGroup> Join(const Parallel& parallel) {
  if (parallel.processes <= 1) return nullptr;
  return std::make_unique<ProcessGroup>(parallel);
}

data::LoaderOptions TrainingLoader(const TrainOptions& options) {
  return {.preprocessing = options.preprocessing,
          .augmentation = options.recipe.augmentation,
          .batch = options.recipe.batch,
          .shard = options.parallel.rank,
          .shards = options.parallel.processes,
          .threads = LoaderThreads(options.threads),
          .seed = SubSeed(options.seed, "loader"),
          .training = true};
}

data::LoaderOptions EvaluationLoader(const TrainOptions& options) {
  return {.preprocessing = options.preprocessing,
          .augmentation = {},
          .batch = kEvaluationBatch,
          .shard = options.parallel.rank,
          .shards = options.parallel.processes,
          .threads = LoaderThreads(options.threads)};
}

class Training {
 public:
  Training(const net::Network& network, std::shared_ptr<const data::Dataset> train,
           std::shared_ptr<const data::Dataset> evaluation, const TrainOptions& options)
      : options_(options),
        recipe_(options.recipe),
        first_(options.parallel.rank == 0),
        input_(network.input),
        fingerprint_(Fingerprint(network, *train, options)),
        classes_(nlohmann::json(train->class_names()).dump()),
        evaluation_images_(evaluation->size()),
        group_(Join(options.parallel)),
        stepper_(network, std::min<int64_t>(recipe_.batch, train->size()), options, group_.get()),
        train_loader_(std::move(train), TrainingLoader(options)),
        evaluation_loader_(std::move(evaluation), EvaluationLoader(options)),
        length_(LengthOf(recipe_, train_loader_.batches_per_epoch())) {
    if (recipe_.keep == Keep::kBest) best_ = stepper_.result().clone();
  }

  TrainResult Run() {
    Resume();
    started_ = saved_ = reported_ = paced_ = Clock::now();
    resumed_at_ = step_;
    while (step_ < length_.steps && !GaveUp()) {
      if (!RunEpoch()) return {.interrupted = true, .epochs = epochs_, .images_seen = ImagesSeen()};
    }
    const EpochMetrics& result = best_.defined() ? Best() : epochs_.back();
    return {.early = step_ < length_.steps,
            .epochs = epochs_,
            .epoch = result.epoch,
            .loss = result.loss,
            .accuracy = result.accuracy,
            .images_seen = ImagesSeen(),
            .weights = Export(best_.defined() ? best_ : stepper_.result())};
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

  // Of two equally accurate epochs the one with less loss, then the earlier one.
  const EpochMetrics& Best() const {
    return *std::max_element(
        epochs_.begin(), epochs_.end(), [](const EpochMetrics& a, const EpochMetrics& b) {
          return std::pair(a.accuracy, -a.loss) < std::pair(b.accuracy, -b.loss);
        });
  }

  bool GaveUp() const {
    if (recipe_.early_stop == 0 || epochs_.empty()) return false;
    return epochs_.back().epoch - Best().epoch >= recipe_.early_stop;
  }

  // False: stopped on request.
  bool RunEpoch() {
    const int64_t epoch = step_ / length_.steps_per_epoch;
    const int64_t first = epoch * length_.steps_per_epoch;
    const int64_t end = std::min(length_.steps, first + length_.steps_per_epoch);
    const auto epoch_started = Clock::now();
    const int64_t begin = step_;
    const auto rate = [&] {
      return static_cast<double>((step_ - begin) * recipe_.batch) /
             std::max(1e-9, SecondsSince(epoch_started));
    };
    train_loader_.StartEpoch(static_cast<int>(epoch), step_ - first);
    while (step_ < end) {
      if (StopNow()) {
        stepper_.ShareStatistics();
        Save();
        return false;
      }
      train_loader_.Next(batch_);
      const Stepper::Outcome outcome = Step();
      loss_sum_ += outcome.loss;
      any_stop_ = outcome.any_stop;
      ++step_;
      if (step_ == resumed_at_ + 1) paced_ = Clock::now();
      if (Clock::now() - saved_ > kSaveInterval) Save();
      if (first_ && options_.on_progress && Clock::now() - reported_ > kProgressInterval) {
        reported_ = Clock::now();
        options_.on_progress({.epoch = static_cast<int>(epoch) + 1,
                              .step = step_,
                              .steps = length_.steps,
                              .train_loss = loss_sum_ / static_cast<double>(step_ - first),
                              .images_per_second = rate(),
                              .seconds_left = SecondsLeft()});
      }
    }
    const double images_per_second = rate();
    const double train_loss = loss_sum_ / static_cast<double>(end - first);
    loss_sum_ = 0;
    stepper_.ShareStatistics();
    if (options_.evaluate_every_epoch || step_ == length_.steps) {
      const Score score = Evaluate();
      Record({.epoch = static_cast<int>(epoch) + 1,
              .train_loss = train_loss,
              .loss = score.loss,
              .accuracy = score.accuracy,
              .learning_rate =
                  LearningRate(recipe_, step_ - 1, length_.steps, length_.steps_per_epoch),
              .images_per_second = images_per_second,
              .seconds = Seconds()});
    }
    Save();
    return true;
  }

  Stepper::Outcome Step() {
    try {
      return stepper_.Step(batch_, step_, length_, stop_wanted_);
    } catch (const std::exception& error) {
      if (!IsOutOfMemory(error)) throw;
      throw Error(ErrorKind::kIo,
                  "out of memory at step {} of {}, with batches of {} images in {} passes; lower "
                  "batch or raise accumulate",
                  step_ + 1, length_.steps, recipe_.batch, recipe_.accumulate);
    }
  }

  // Several processes stop after the same step: the one after which all know that one wants to.
  bool StopNow() {
    stop_wanted_ = options_.stop && options_.stop();
    return group_ ? any_stop_ : stop_wanted_;
  }

  void Record(const EpochMetrics& metrics) {
    epochs_.push_back(metrics);
    if (Best().epoch == metrics.epoch) {
      if (best_.defined()) best_.copy_(stepper_.result());
      if (first_ && !options_.best.empty()) {
        net::Weights weights = Export(stepper_.result());
        weights.metadata["epoch"] = std::to_string(metrics.epoch);
        weights.metadata["accuracy"] = fmt::format("{}", metrics.accuracy);
        net::WriteSafetensors(options_.best, weights);
      }
    }
    if (first_ && options_.on_epoch) options_.on_epoch(metrics);
  }

  Score Evaluate() {
    evaluated_ = true;
    const Score score = stepper_.WithResult([&] {
      return train::Evaluate(stepper_.module(), evaluation_loader_, input_, stepper_.lanes(),
                             group_.get());
    });
    const bool broken = !stepper_.result().isfinite().all().item<bool>();
    if (broken || !std::isfinite(score.loss)) {
      throw Error(ErrorKind::kInput,
                  "training diverged: the evaluation loss is {}{}; lower learning_rate (it is {}) "
                  "or set clip_norm",
                  score.loss, broken ? ", with weights that are not finite" : "",
                  recipe_.learning_rate);
    }
    return score;
  }

  net::Weights Export(const at::Tensor& state) {
    net::Weights weights = stepper_.module().Export(state);
    weights.metadata["preprocessing"] = data::ToJson(options_.preprocessing);
    weights.metadata["classes"] = classes_;
    return weights;
  }

  std::vector<at::Tensor> Vectors() const {
    std::vector<at::Tensor> vectors = stepper_.Memory();
    if (best_.defined()) vectors.push_back(best_);
    return vectors;
  }

  void Save() {
    saved_ = Clock::now();
    if (!first_ || options_.checkpoint.empty()) return;
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
    if (first_ && options_.on_resume) options_.on_resume(step_, length_.steps);
  }

  // At the pace since the first step, which also prepares much. As long as no evaluation was part
  // of that, one is expected to cost what its images do.
  double SecondsLeft() const {
    const auto steps = static_cast<double>(std::max<int64_t>(1, step_ - resumed_at_ - 1));
    const auto left = static_cast<double>(length_.steps - step_);
    const double pace = SecondsSince(paced_) / steps;
    if (evaluated_) return pace * left;
    const int64_t evaluations =
        options_.evaluate_every_epoch ? length_.epochs() - step_ / length_.steps_per_epoch : 1;
    return pace * (left + kEvaluationWork * static_cast<double>(evaluations * evaluation_images_) /
                              recipe_.batch);
  }

  double Seconds() const { return seconds_before_ + SecondsSince(started_); }
  int64_t ImagesSeen() const { return step_ * recipe_.batch; }

  const TrainOptions& options_;
  const Recipe& recipe_;
  const bool first_;  // of the processes: it writes and reports
  const net::Shape input_;
  const std::string fingerprint_;
  const std::string classes_;  // their names, as JSON
  const int64_t evaluation_images_;
  const std::unique_ptr<ProcessGroup> group_;  // null: this process alone
  Stepper stepper_;
  data::Loader train_loader_, evaluation_loader_;
  data::Batch batch_;
  at::Tensor best_;  // weights of Best(); undefined unless they are the result
  const Length length_;
  int64_t step_ = 0;
  int64_t resumed_at_ = 0;                       // the first step of this process
  bool stop_wanted_ = false, any_stop_ = false;  // by this process, by any
  double loss_sum_ = 0;                          // over the running epoch
  double seconds_before_ = 0;
  std::vector<EpochMetrics> epochs_;
  bool evaluated_ = false;  // by this process
  Clock::time_point started_, saved_, reported_, paced_;
};

}  // namespace

TrainResult Train(const net::Network& network, std::shared_ptr<const data::Dataset> train,
                  std::shared_ptr<const data::Dataset> evaluation, const TrainOptions& options) {
  CheckInput(network, *train, *evaluation, options);
  return GuardTorch([&] { return Training(network, train, evaluation, options).Run(); });
}

}  // namespace lathe::train
