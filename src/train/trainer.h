// Trains a network with libtorch and evaluates trained ones. Torch stays behind this header.
// Blocking; uses TrainOptions::threads threads. One training per process at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "data/loader.h"
#include "net/network.h"
#include "net/weights.h"
#include "train/recipe.h"
#include "train/teacher.h"

namespace lathe::train {

struct EpochMetrics {
  int epoch = 0;  // 1-based, finished epochs
  double train_loss = 0;
  double loss = 0;           // evaluation cross-entropy
  double accuracy = 0;       // evaluation top-1, 0..1
  double learning_rate = 0;  // of the epoch's last step
  double images_per_second = 0;
  double seconds = 0;  // since the start of the whole training, over restarts
};

struct TrainProgress {
  int epoch = 0;                // running epoch, 1-based
  int64_t step = 0, steps = 0;  // over the whole training
  double train_loss = 0, images_per_second = 0, seconds_left = 0;
};

// One network trained by several processes, each on its part of every batch.
struct Parallel {
  int rank = 0, processes = 1;
  // A file that does not exist yet, the same for all: where they find each other.
  std::filesystem::path rendezvous;
  bool one_machine = true;
};

struct TrainOptions {
  Recipe recipe;
  data::Preprocessing preprocessing;
  int threads = 1;
  uint64_t seed = 1;
  Parallel parallel;
  std::shared_ptr<Teacher> teacher;  // for recipe.distillation
  bool evaluate_every_epoch = true;  // otherwise only at the end
  // Written atomically after every epoch, every two minutes and on stop; resumed from when it
  // exists.
  std::filesystem::path checkpoint;
  std::filesystem::path best;  // weights of the best epoch so far; empty: not written
  // The following are called in the first process alone.
  std::function<void(int64_t step, int64_t steps)> on_resume;  // of a checkpoint, once
  std::function<void(const EpochMetrics&)> on_epoch;
  std::function<void(const TrainProgress&)> on_progress;  // a few times per second
  // Polled every step, in every process; true in any: all save and return interrupted.
  std::function<bool()> stop;
};

struct TrainResult {
  bool interrupted = false;
  bool early = false;  // recipe.early_stop ended it
  std::vector<EpochMetrics> epochs;
  int epoch = 0;                  // whose weights these are
  double loss = 0, accuracy = 0;  // of the returned weights, on the evaluation set
  int64_t images_seen = 0;
  net::Weights weights;  // metadata: preprocessing and classes, as JSON
};

// Throws kInput for a loss that is no number (at which step, and to lower the learning rate) or a
// checkpoint of another network; kIo for a full disk or too little memory. The last good checkpoint
// stays.
TrainResult Train(const net::Network& network, std::shared_ptr<const data::Dataset> train,
                  std::shared_ptr<const data::Dataset> evaluation, const TrainOptions& options);

// Sees the outputs of a network's nodes, after their activations, in the order they run; values
// {images, h, w, c}, of part of the images at a time.
using Observer = std::function<void(const net::Node& node, std::span<const float> values)>;

// A trained network in evaluation mode.
class TrainedModel {
 public:
  TrainedModel(const net::Network& network, const net::Weights& weights, int threads);
  ~TrainedModel();
  // Images NHWC float, as the loader gives them; returns logits, count x classes.
  std::vector<float> Logits(std::span<const float> images, int count,
                            const Observer& observer = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lathe::train
