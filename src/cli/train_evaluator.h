// The built-in evaluator: trains the trial's network on the study's data with libtorch.
#pragma once

#include "study/trial.h"

namespace lathe::cli {

class TrainEvaluator : public study::Evaluator {
 public:
  std::optional<study::TrialResult> Evaluate(const std::filesystem::path& folder,
                                             const study::TrialSpec& spec,
                                             const std::function<bool()>& stop) override;
};

}  // namespace lathe::cli
