#include "study/rank.h"

#include <algorithm>
#include <cmath>

namespace lathe::study {
namespace {

double AccuracyOf(const TrialRecord& trial) {
  const auto found = trial.metrics.find("accuracy");
  return found == trial.metrics.end() || std::isnan(found->second) ? 0.0 : found->second;
}

// Keeps their order.
std::vector<TrialRecord> FrontOf(const std::vector<TrialRecord>& ranked) {
  std::vector<double> latency, accuracy;
  for (const TrialRecord& trial : ranked) {
    latency.push_back(trial.latency_us);
    accuracy.push_back(AccuracyOf(trial));
  }
  std::vector<size_t> places = search::ParetoFront(latency, accuracy);
  std::ranges::sort(places);
  std::vector<TrialRecord> front;
  for (const size_t place : places) front.push_back(ranked[place]);
  return front;
}

}  // namespace

std::vector<TrialRecord> Rank(const std::vector<TrialRecord>& trials, const RankOptions& options) {
  std::vector<TrialRecord> ranked;
  for (const TrialRecord& trial : trials) {
    if (trial.state == TrialState::kComplete && trial.latency_us <= options.latency_budget_us &&
        AccuracyOf(trial) >= options.accuracy) {
      ranked.push_back(trial);
    }
  }
  std::ranges::stable_sort(ranked, [](const TrialRecord& a, const TrialRecord& b) {
    return AccuracyOf(a) != AccuracyOf(b) ? AccuracyOf(a) > AccuracyOf(b)
                                          : a.latency_us < b.latency_us;
  });
  return options.goal == search::Goal::kFront ? FrontOf(ranked) : ranked;
}

}  // namespace lathe::study
