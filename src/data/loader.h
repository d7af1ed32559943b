// Batches for training and evaluation: resize, augmentation, normalisation, on worker threads ahead
// of the consumer. The same (seed, epoch, index) gives the same pixels, whatever the number of
// threads or shards, cached or not. A loader belongs to one thread.
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
  double crop = 1;  // evaluation keeps this share of the shorter side, in the middle
  std::array<float, 3> mean{0.5f, 0.5f, 0.5f};
  std::array<float, 3> std{0.25f, 0.25f, 0.25f};
};
// Mean and standard deviation over up to `samples` images of a training set.
Preprocessing MeasurePreprocessing(const Dataset& train, int resolution, int samples = 5000);

struct Augmentation {
  bool flip = false;                 // horizontal, p = 0.5
  int pad_crop = 0;                  // random shift by up to this many pixels (zero padding)
  double random_erasing = 0;         // probability
  bool random_resized_crop = false;  // ratio 3/4-4/3
  double crop_scale = 0.35;          // least share of the area that a random resized crop keeps
  // RandAugment (Cubuk et al. 2020, as timm's rand-m9-mstd0.5): so many random operations (0: off)
  // of this magnitude (0-10), itself drawn with this standard deviation.
  int rand_augment = 0;
  double rand_magnitude = 9, rand_deviation = 0.5;
  // Colour jitter: each factor is drawn from 1 +- this; hue is turned by up to this share of the
  // circle.
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  // alpha of the Beta distribution of a batch's mix (Zhang et al. 2018; Yun et al. 2019); 0: off.
  // With both, each batch draws one of them.
  double mixup = 0, cutmix = 0;
};
Augmentation ReadAugmentation(const Config& table);
std::string ToToml(const Augmentation& augmentation);  // "{ flip = true, ... }", all keys

struct LoaderOptions {
  Preprocessing preprocessing;
  Augmentation augmentation;  // ignored when !training
  int batch = 128;            // of all shards together
  int shard = 0, shards = 1;  // rows [shard, shard + 1) * batch / shards of every batch
  int threads = 0;            // 0: in the caller's thread
  uint64_t seed = 0;
  bool training = false;  // shuffles, augments, drops the incomplete last batch
};

struct Batch {
  int count = 0;
  std::vector<float> images;  // NHWC (channels-last), count*h*w*c
  std::vector<int64_t> labels;
  // With mixup or cutmix: image i shows labels[i] by shares[i], the rest of it partner_labels[i].
  // Empty otherwise. Partners are neighbours; one without (the last of an odd number, of the batch
  // or the shard) stays as it is, with share 1.
  std::vector<int64_t> partner_labels;
  std::vector<float> shares;
};

class Loader {
 public:
  // Throws kInput for an empty set, one whose channels do not fit (grey images may fill three), or
  // a training batch that the shards cannot divide. Of an evaluation's last batch a shard may get
  // nothing: count 0.
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
