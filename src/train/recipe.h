// How a network is trained. Read from TOML; presets in configs/recipes.
#pragma once

#include <string>

#include "base/config.h"
#include "data/loader.h"

namespace lathe::train {

enum class Optimizer { kSgd, kAdamW, kRmsPropTf };
enum class Schedule { kCosine, kStep, kOneCycle };
// Of convolutions and the features between them. Falls back to f32 where the device is not faster
// with it: bf16 on processors without it, f16 on all.
enum class Precision { kF32, kBf16, kF16 };
enum class Keep { kLast, kBest };  // which epoch's weights are the result

// Learning from another network's answers beside the labels.
struct Distillation {
  enum class Kind { kSoft, kHard };
  std::string teacher;  // a network file with `weights`, or an ONNX file; empty: off
  std::string weights;  // safetensors
  Kind kind = Kind::kSoft;
  double weight = 0.5;     // of the teacher's part; the labels have the rest
  double temperature = 1;  // kSoft: logits are divided by it (Hinton et al. 2015)
};

struct Recipe {
  double epochs = 6;             // may be fractional: 0.25 epoch of a large set
  int64_t images_per_epoch = 0;  // 0: the whole set; otherwise a seeded part per epoch
  int batch = 128;               // images per step, over all processes
  int accumulate = 1;            // passes per step, each over a part of the batch
  // Parts of a batch that run side by side on CPUs, over all processes: equal numbers of them give
  // equal weights, bit for bit. 0: as many as there are threads, of at least 8 images each.
  int lanes = 0;
  Optimizer optimizer = Optimizer::kSgd;
  double learning_rate = 0.1;  // at its peak, for this batch size
  double momentum = 0.9;
  double weight_decay = 5e-4;  // not on norms and biases
  Schedule schedule = Schedule::kOneCycle;
  double warmup = 0.2;      // share of all steps
  double warmup_start = 0;  // rate at the first of them; 0: a small share of the peak
  double step_epochs = 2.4, step_factor = 0.97;  // kStep
  double label_smoothing = 0.0;
  double dropout = 0.0;       // before the classifier
  double drop_connect = 0.0;  // at the last block; grows linearly with depth
  double ema = 0.0;           // decay of the weights' moving average; 0: off
  double clip_norm = 0.0;     // 0: off
  Precision precision = Precision::kF32;
  bool sync_norm = true;       // norms see the whole batch when several processes share it
  int early_stop = 0;          // epochs without a better accuracy before giving up; 0: never
  Keep keep = Keep::kLast;     // kBest by default with early_stop
  double evaluation_crop = 1;  // data::Preprocessing::crop
  Distillation distillation;
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

// What a training costs, in images that are trained: evaluating one costs its pass forward,
// training it about three of those.
inline constexpr double kEvaluationWork = 1.0 / 3;
// `evaluated`: images that each epoch ends with.
double WorkOf(const Recipe& recipe, int64_t train_images, int64_t evaluated);

// Files named in it are taken relative to the folder of the file that names them.
Recipe ReadRecipe(const Config& table);
std::string ToToml(const Recipe& recipe);

}  // namespace lathe::train
