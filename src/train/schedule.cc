#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lathe::train {

double LearningRate(const Recipe& recipe, int64_t step, int64_t steps, int64_t steps_per_epoch) {
  const double peak = recipe.learning_rate;
  const double warmup = recipe.warmup * static_cast<double>(steps);
  const auto at = static_cast<double>(step);
  if (at < warmup) {
    double start = recipe.warmup_start;
    // A rate of zero would waste the first step.
    if (start == 0)
      start = recipe.schedule == Schedule::kOneCycle ? peak / 25 : peak / (warmup + 1);
    return start + (peak - start) * at / warmup;
  }
  const double rest = static_cast<double>(steps) - warmup;
  const double done = (at - warmup) / rest;
  switch (recipe.schedule) {
    case Schedule::kOneCycle:
      return peak * (1 - done);
    case Schedule::kCosine:
      return peak * 0.5 * (1 + std::cos(std::numbers::pi * done));
    case Schedule::kStep:
      break;
  }
  const double epoch = at / static_cast<double>(std::max<int64_t>(1, steps_per_epoch));
  return peak * std::pow(recipe.step_factor, std::floor(epoch / recipe.step_epochs));
}

double EmaDecay(const Recipe& recipe, int64_t step) {
  return std::min(recipe.ema,
                  (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step)));
}

}  // namespace lathe::train
