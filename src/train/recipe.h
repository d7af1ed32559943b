// How a network is trained. Read from TOML; presets in configs/recipes.
#pragma once

#include <string>

#include "base/config.h"
#include "data/loader.h"

namespace lathe::train {

enum class Optimizer { kSgd, kAdamW, kRmsPropTf };
enum class Schedule { kCosine, kStep, kOneCycle };

struct Recipe {
  double epochs = 6;             // may be fractional: 0.25 epoch of a large set
  int64_t images_per_epoch = 0;  // 0: the whole set; otherwise a seeded part per epoch
  int batch = 128;
  Optimizer optimizer = Optimizer::kSgd;
  double learning_rate = 0.1;  // at its peak, for this batch size
  double momentum = 0.9;
  double weight_decay = 5e-4;  // not on norms and biases
  Schedule schedule = Schedule::kOneCycle;
  double warmup = 0.2;                           // share of all steps
  double step_epochs = 2.4, step_factor = 0.97;  // kStep
  double label_smoothing = 0.0;
  double dropout = 0.0;       // before the classifier
  double drop_connect = 0.0;  // at the last block; grows linearly with depth
  double ema = 0.0;           // decay of the weights' moving average; 0: off
  double clip_norm = 0.0;     // 0: off
  bool bf16 = false;          // convolutions and features; ignored by processors without it
  data::Augmentation augmentation;
};

// How long a training is, counted in steps of one batch.
struct Length {
  int64_t steps_per_epoch = 1, steps = 1;
  // Epochs that end with an evaluation; the last one may be shorter than the others.
  int64_t epochs() const { return (steps + steps_per_epoch - 1) / steps_per_epoch; }
};
// `batches`: whole batches in the set.
Length LengthOf(const Recipe& recipe, int64_t batches);

Recipe ReadRecipe(const Config& table);
std::string ToToml(const Recipe& recipe);

}  // namespace lathe::train
