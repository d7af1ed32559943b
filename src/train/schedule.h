// The learning rate over a training, and drop-connect's rate over depth: plain formulas. Private to
// this module.
#pragma once

#include <cstdint>

#include "train/recipe.h"

namespace lathe::train {

// For step 0 <= step < steps. Every schedule begins with a linear warm-up over recipe.warmup of all
// steps, from recipe.warmup_start or, where that is 0, from 1/25 of the peak (one-cycle) or the
// first of warmup + 1 equal parts of it; then
//   one-cycle: linearly down to 0 (Smith and Topin 2018)
//   cosine:    half a cosine down to 0 (Loshchilov and Hutter 2017); timm's with warmup_prefix
//   step:      times step_factor after every step_epochs epochs since the start, in stairs
double LearningRate(const Recipe& recipe, int64_t step, int64_t steps, int64_t steps_per_epoch);

// The weight of the old average at `step` (0-based): recipe.ema, less in the first steps so that
// the start is forgotten.
double EmaDecay(const Recipe& recipe, int64_t step);

}  // namespace lathe::train
