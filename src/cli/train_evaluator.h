// The built-in evaluator: trains the trial's network on the study's data with libtorch.
#pragma once

#include "data/dataset.h"
#include "study/trial.h"
#include "train/trainer.h"

namespace lathe::cli {

// What a training sees that is only tried: `count` images to search with, a quarter as many of
// everything else.
data::Splits SampleOf(const data::Splits& splits, int64_t count);

class TrainEvaluator : public study::Evaluator {
 public:
  // `parallel`: this process's place among those that train the network together.
  explicit TrainEvaluator(const train::Parallel& parallel) : parallel_(parallel) {}
  std::optional<study::TrialResult> Evaluate(const std::filesystem::path& folder,
                                             const study::TrialSpec& spec,
                                             const std::function<bool()>& stop) override;

 private:
  const train::Parallel parallel_;
};

}  // namespace lathe::cli
