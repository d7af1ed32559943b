// Batches for training and evaluation: resize, augmentation, normalisation, on worker threads ahead
// of the consumer. The same (seed, epoch, index) gives the same pixels, whatever the thread count.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "data/dataset.h"

namespace lathe::data {

// How pixels become numbers; stored beside the weights, since a deployed model needs it too. y =
// (x/255 - mean) / std.
struct Preprocessing {
  int resolution = 28;
  int channels = 1;
  std::array<float, 3> mean{0.5f, 0.5f, 0.5f};
  std::array<float, 3> std{0.25f, 0.25f, 0.25f};
};
// Mean and standard deviation over up to `samples` images of a training set.
Preprocessing MeasurePreprocessing(const Dataset& train, int resolution, int samples = 5000);

struct Augmentation {
  bool flip = false;                 // horizontal, p = 0.5
  int pad_crop = 0;                  // random shift by up to this many pixels (zero padding)
  double random_erasing = 0;         // probability
  bool random_resized_crop = false;  // scale 0.35-1, ratio 3/4-4/3
};
Augmentation ReadAugmentation(const Config& table);

struct LoaderOptions {
  Preprocessing preprocessing;
  Augmentation augmentation;  // ignored when !training
  int batch = 128;
  int threads = 0;  // 0: in the caller's thread
  uint64_t seed = 0;
  bool training = false;  // shuffles, augments, drops the incomplete last batch
};

struct Batch {
  int count = 0;
  std::vector<float> images;  // NHWC (channels-last), count*h*w*c
  std::vector<int64_t> labels;
};

class Loader {
 public:
  // Throws kInput for an empty set, or one whose channels do not fit (grey images may fill three).
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);
  ~Loader();
  int64_t batches_per_epoch() const;
  // Order and augmentation depend on (seed, epoch). `first_batch` continues in the middle of an
  // epoch. Without a call, Next() starts at epoch 0.
  void StartEpoch(int epoch, int64_t first_batch = 0);
  bool Next(Batch& batch);  // false at the end of the epoch

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lathe::data
