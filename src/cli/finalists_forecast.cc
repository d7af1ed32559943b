#include "cli/finalists_forecast.h"

#include <algorithm>

#include "train/recipe.h"

namespace lathe::cli {
namespace {

constexpr size_t kLooked = 4;      // trials: finalists will be like the best of them
constexpr double kCalibrate = 10;  // seconds for a finalist in int8

}  // namespace

double InSlots(double trainings, double seconds, int slots) {
  return seconds * std::max(std::min(trainings, 1.0), trainings / slots);
}

FinalistsForecast::FinalistsForecast(const StudyContext& context, int slots)
    : finalists_(context.config.finalists),
      baselines_(static_cast<int>(context.config.baselines.size())),
      slots_(std::max(1, slots)),
      overhead_(context.config.executor == "local") {
  const study::StudyConfig& config = context.config;
  const data::Splits& splits = context.splits;
  if (config.evaluator.HasProgram()) return;
  times_ =
      train::WorkOf(config.finalist_recipe, splits.train->size(), splits.test->size()) /
      train::WorkOf(config.trial_recipe, splits.search_train->size(), splits.search_val->size());
}

void FinalistsForecast::Note(const study::TrialRecord& ended) {
  const auto training = ended.metrics.find("seconds");
  if (ended.state != study::TrialState::kComplete || ended.starts != 1 || !ended.value ||
      training == ended.metrics.end()) {
    return;
  }
  const double beside = std::max(0.0, ended.end - ended.begin - training->second);
  costs_.insert({*ended.value, {.training = training->second, .beside = overhead_ ? beside : 0}});
}

std::optional<double> FinalistsForecast::Seconds() const {
  if (costs_.empty() || times_ <= 0) return std::nullopt;
  const size_t looked = std::min(kLooked, costs_.size());
  double training = 0;
  auto cost = costs_.begin();
  for (size_t i = 0; i < looked; ++i, ++cost)
    training +=
        (times_ * cost->second.training + cost->second.beside) / static_cast<double>(looked);
  const int contenders = finalists_ + baselines_;
  return InSlots(contenders, training, slots_) + contenders * (kMeasureUntrained + kJudge) +
         finalists_ * kCalibrate;
}

}  // namespace lathe::cli
