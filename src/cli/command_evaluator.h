// The evaluator for the user's own training program: starts it, takes its reports while it runs and
// its result when it has ended. Use from the main thread.
#pragma once

#include "study/evaluator_config.h"
#include "study/trial.h"

namespace lathe::cli {

class CommandEvaluator : public study::Evaluator {
 public:
  explicit CommandEvaluator(study::EvaluatorConfig config) : config_(std::move(config)) {}
  // Throws kInternal with the program's last words when it dies, kUnavailable when it does not
  // start, kIo when the disk is full.
  std::optional<study::TrialResult> Evaluate(const std::filesystem::path& folder,
                                             const study::TrialSpec& spec,
                                             const std::function<bool()>& stop) override;

 private:
  const study::EvaluatorConfig config_;
};

// Throws kInput unless the program and its folder are there.
void CheckProgram(const study::EvaluatorConfig& config);

}  // namespace lathe::cli
