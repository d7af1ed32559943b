// Trains a network with libtorch and evaluates trained ones. Torch stays behind this header.
// Blocking; uses TrainOptions::threads of torch's threads. One training per process at a time.
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

namespace lathe::train {

struct EpochMetrics {
  int epoch = 0;  // 1-based, finished epochs
  double train_loss = 0;
  double loss = 0;      // evaluation cross-entropy
  double accuracy = 0;  // evaluation top-1, 0..1
  double images_per_second = 0;
  double seconds = 0;  // since the start of the whole training, over restarts
};

struct TrainProgress {
  int epoch = 0;                // running epoch, 1-based
  int64_t step = 0, steps = 0;  // over the whole training
  double train_loss = 0, images_per_second = 0, seconds_left = 0;
};

struct TrainOptions {
  Recipe recipe;
  data::Preprocessing preprocessing;
  int threads = 1;
  uint64_t seed = 1;
  bool evaluate_every_epoch = true;  // otherwise only at the end
  std::filesystem::path
      checkpoint;  // written atomically after every epoch and on stop, resumed from when it exists
  std::function<void(const EpochMetrics&)> on_epoch;
  std::function<void(const TrainProgress&)> on_progress;  // a few times per second
  std::function<bool()> stop;  // polled every step; true: save and return interrupted
};

struct TrainResult {
  bool interrupted = false;
  std::vector<EpochMetrics> epochs;
  double loss = 0, accuracy = 0;  // of the returned weights, on the evaluation set
  int64_t images_seen = 0;
  net::Weights weights;
};

// Throws kInput for a NaN loss (at which step, and to lower the learning rate) or a checkpoint of
// another network.
TrainResult Train(const net::Network& network, std::shared_ptr<const data::Dataset> train,
                  std::shared_ptr<const data::Dataset> evaluation, const TrainOptions& options);

// A trained network in evaluation mode.
class TrainedModel {
 public:
  TrainedModel(const net::Network& network, const net::Weights& weights, int threads);
  ~TrainedModel();
  // Images NHWC float, as the loader gives them; returns logits, count x classes.
  std::vector<float> Logits(std::span<const float> images, int count);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lathe::train
