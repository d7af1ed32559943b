#include "study/rank.h"

#include <algorithm>
#include <cmath>

namespace lathe::study {
namespace {

double AccuracyOf(const TrialRecord& trial) {
  const auto found = trial.metrics.find("accuracy");
  return found == trial.metrics.end() || std::isnan(found->second) ? 0.0 : found->second;
}

struct Entry {
  double accuracy, latency_us;
  size_t place;  // among the trials
};

// Keeps their order.
std::vector<Entry> FrontOf(const std::vector<Entry>& ranked) {
  std::vector<double> latency, accuracy;
  for (const Entry& entry : ranked) {
    latency.push_back(entry.latency_us);
    accuracy.push_back(entry.accuracy);
  }
  std::vector<size_t> places = search::ParetoFront(latency, accuracy);
  std::ranges::sort(places);
  std::vector<Entry> front;
  for (const size_t place : places) front.push_back(ranked[place]);
  return front;
}

}  // namespace

std::vector<TrialRecord> Rank(const std::vector<TrialRecord>& trials, const RankOptions& options) {
  std::vector<Entry> ranked;
  for (size_t i = 0; i < trials.size(); ++i) {
    const TrialRecord& trial = trials[i];
    if (trial.state != TrialState::kComplete || trial.latency_us > options.latency_budget_us)
      continue;
    const double accuracy = AccuracyOf(trial);
    if (accuracy >= options.accuracy) ranked.push_back({accuracy, trial.latency_us, i});
  }
  std::ranges::stable_sort(ranked, [](const Entry& a, const Entry& b) {
    return a.accuracy != b.accuracy ? a.accuracy > b.accuracy : a.latency_us < b.latency_us;
  });
  if (options.goal == search::Goal::kFront) ranked = FrontOf(ranked);
  if (ranked.size() > options.top) ranked.resize(options.top);
  std::vector<TrialRecord> best;
  for (const Entry& entry : ranked) best.push_back(trials[entry.place]);
  return best;
}

}  // namespace lathe::study
