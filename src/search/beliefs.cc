#include "search/beliefs.h"

#include <algorithm>
#include <map>

namespace lathe::search {
namespace {

std::optional<double> ValueAt(const History::Entry& entry, int step, Moment as_of) {
  for (const History::Progress& report : entry.reports) {
    if (report.step == step && report.at < as_of) return report.value;
  }
  return {};
}

std::map<int, Forecast> ForecastsOf(const std::vector<const History::Entry*>& complete,
                                    Moment as_of) {
  std::map<int, std::vector<Forecast::Pair>> pairs;
  for (const History::Entry* entry : complete) {
    for (const History::Progress& report : entry->reports) {
      if (report.at < as_of) pairs[report.step].push_back({report.value, *entry->outcome});
    }
  }
  std::map<int, Forecast> forecasts;
  for (const auto& [step, known] : pairs) {
    if (known.size() >= Forecast::kFewest) forecasts.emplace(step, Forecast(known));
  }
  return forecasts;
}

// From the latest report that a forecast exists for.
std::optional<Forecast::Promise> PromiseOf(const History::Entry& entry,
                                           const std::map<int, Forecast>& forecasts, Moment as_of) {
  for (auto report = entry.reports.rbegin(); report != entry.reports.rend(); ++report) {
    if (report->at >= as_of) continue;
    const auto forecast = forecasts.find(report->step);
    if (forecast != forecasts.end()) return forecast->second.Of(report->value);
  }
  return {};
}

// The last step that at least Forecast::kFewest trials have reached.
std::optional<int> CommonStep(const History& history, Moment as_of) {
  std::map<int, size_t> reached;
  for (const auto& [trial, entry] : history.entries()) {
    for (const History::Progress& report : entry.reports) {
      if (report.at < as_of) ++reached[report.step];
    }
  }
  for (auto step = reached.rbegin(); step != reached.rend(); ++step) {
    if (step->second >= Forecast::kFewest) return step->first;
  }
  return {};
}

}  // namespace

Forecast::Forecast(std::span<const Pair> pairs) : count_(static_cast<double>(pairs.size())) {
  for (const Pair& pair : pairs) {
    mean_step_ += pair.at_step / count_;
    mean_end_ += pair.in_the_end / count_;
  }
  double product = 0;
  for (const Pair& pair : pairs) {
    spread_ += (pair.at_step - mean_step_) * (pair.at_step - mean_step_);
    product += (pair.at_step - mean_step_) * (pair.in_the_end - mean_end_);
  }
  // A falling line would be chance: who is better on the way is not worse in the end for that.
  if (spread_ > 0) slope_ = std::max(0.0, product / spread_);
  for (const Pair& pair : pairs) {
    const double rest = pair.in_the_end - mean_end_ - slope_ * (pair.at_step - mean_step_);
    scatter_ += rest * rest / (count_ - 2);
  }
}

Forecast::Promise Forecast::Of(double at_step) const {
  const double offset = at_step - mean_step_;
  const double doubt = 1 / count_ + (spread_ > 0 ? offset * offset / spread_ : 0);
  return {.value = mean_end_ + slope_ * offset, .variance = scatter_ * (1 + doubt)};
}

void Beliefs::Add(const Candidate& candidate, double value, double variance) {
  candidates.push_back(&candidate);
  values.push_back(value);
  variances.push_back(variance);
}

Beliefs BeliefsOf(const History& history, Moment as_of) {
  std::vector<const History::Entry*> complete;
  for (const History::Entry* entry : history.complete()) {
    if (entry->told < as_of) complete.push_back(entry);
  }
  Beliefs beliefs;
  const bool few = complete.size() < Forecast::kFewest;
  const std::optional<int> step = few ? CommonStep(history, as_of) : std::nullopt;
  const std::map<int, Forecast> forecasts = ForecastsOf(complete, as_of);
  if (!step) {
    for (const History::Entry* entry : complete) beliefs.Add(entry->candidate, *entry->outcome, 0);
    beliefs.complete = beliefs.size();
  }
  for (const auto& [trial, entry] : history.entries()) {
    if (entry.asked >= as_of) continue;
    const bool running = entry.told >= as_of;
    if (running) beliefs.pending.push_back(&entry.candidate);
    if (step) {
      if (const auto value = ValueAt(entry, *step, as_of)) beliefs.Add(entry.candidate, *value, 0);
    } else if (running || !entry.outcome) {
      if (const auto promise = PromiseOf(entry, forecasts, as_of)) {
        beliefs.Add(entry.candidate, promise->value, promise->variance);
      }
    }
  }
  return beliefs;
}

}  // namespace lathe::search
