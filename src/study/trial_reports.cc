#include "study/trial_reports.h"

#include "base/file.h"
#include "study/trial.h"

namespace lathe::study {

TrialReports::TrialReports(Store& store, search::Proposer& proposer,
                           const StudyObjective& objective, const search::PrunerOptions& pruning)
    : store_(store),
      proposer_(proposer),
      objective_(objective),
      last_step_(pruning.last_step),
      pruner_(search::MakePruner(pruning)) {}

bool TrialReports::ReadNews(const TrialRecord& trial, const fs::path& folder) {
  std::error_code missing;
  const uintmax_t size = fs::file_size(folder / "metrics.jsonl", missing);
  uintmax_t& read = read_[trial.number];
  if (missing || size == read) return false;
  for (const MetricLine& line : ReadMetrics(folder)) {
    const auto metric = line.values.find(std::string(objective_.metric()));
    if (metric == line.values.end() || line.step <= Of(trial.number).step) continue;
    Report(trial, line.step, metric->second);
    if (Of(trial.number).to_end) return true;
  }
  read = size;
  return false;
}

void TrialReports::ReadRest(const TrialRecord& trial, const fs::path& folder) {
  while (ReadNews(trial, folder)) {
  }
}

void TrialReports::Report(const TrialRecord& trial, int step, double metric) {
  const double objective = objective_.Of(metric, trial.latency_us);
  store_.AddReport(trial.number,
                   {.step = step, .measured = objective_.Measured(metric), .objective = objective});
  proposer_.Report(trial.number, step, objective);
  Repeat(trial, step, objective);
}

void TrialReports::Repeat(const TrialRecord& trial, int step, double objective) {
  const bool to_end = pruner_->Report(trial.number, trial.latency_us, step, objective);
  standings_[trial.number] = {
      .step = step, .objective = objective, .to_end = to_end && step < last_step_};
}

Standing TrialReports::Of(int64_t trial) const {
  const auto found = standings_.find(trial);
  return found == standings_.end() ? Standing{} : found->second;
}

void TrialReports::Forget(int64_t trial) {
  standings_.erase(trial);
  read_.erase(trial);
}

}  // namespace lathe::study
