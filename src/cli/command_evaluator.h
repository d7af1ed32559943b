// The evaluator for the user's own training program: starts it, takes its reports while it runs and
// its result when it has ended. Use from the main thread.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "cli/job_file.h"
#include "study/evaluator_config.h"
#include "study/trial.h"

namespace lathe::cli {

class CommandEvaluator : public study::Evaluator {
 public:
  // `first`: of the processes that a launcher has started for one trial; the others start the
  // program, too, but neither write nor answer for it.
  CommandEvaluator(study::EvaluatorConfig config, bool first)
      : config_(std::move(config)), first_(first) {}
  // Throws kInternal with the program's last words when it dies, kUnavailable when it does not
  // start, kIo when the disk is full.
  std::optional<study::TrialResult> Evaluate(const std::filesystem::path& trial_folder,
                                             const study::TrialSpec& spec,
                                             const std::function<bool()>& stop) override;

 private:
  std::optional<study::TrialResult> Lead(const std::filesystem::path& folder,
                                         const study::TrialSpec& spec, const JobFile& job,
                                         const std::function<bool()>& stop) const;
  std::optional<study::TrialResult> Follow(const std::filesystem::path& folder, const JobFile& job,
                                           const std::function<bool()>& stop) const;

  const study::EvaluatorConfig config_;
  const bool first_;
};

// Throws kInput unless the program and its folder are there.
void CheckProgram(const study::EvaluatorConfig& config);

}  // namespace lathe::cli
