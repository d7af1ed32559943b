#include "search/beliefs.h"

#include <Eigen/LU>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace lathe::search {
namespace {

constexpr std::array kRidges = {0.3, 1.0, 3.0, 10.0, 100.0};  // in pairs
constexpr double kLeastFreedom = 0.05;                        // of a pair that the plane hangs on

double LogOf(double latency_us) { return latency_us > 0 ? std::log(latency_us) : 0; }

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
      if (report.at >= as_of) continue;
      pairs[report.step].push_back({report.value, *entry->outcome, entry->candidate.latency_us});
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
    if (forecast != forecasts.end())
      return forecast->second.Of(report->value, entry.candidate.latency_us);
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
  double size_squares = 0;
  for (const Pair& pair : pairs) {
    mean_step_ += pair.at_step / count_;
    mean_end_ += pair.in_the_end / count_;
    mean_size_ += LogOf(pair.latency_us) / count_;
  }
  for (const Pair& pair : pairs) {
    size_squares += (LogOf(pair.latency_us) - mean_size_) * (LogOf(pair.latency_us) - mean_size_);
  }
  size_deviation_ = std::sqrt(size_squares / count_);
  Eigen::Matrix2d squares = Eigen::Matrix2d::Zero();
  Eigen::Vector2d products = Eigen::Vector2d::Zero();
  for (const Pair& pair : pairs) {
    const Eigen::Vector2d offset = Offset(pair.at_step, pair.latency_us);
    squares += offset * offset.transpose();
    products += offset * (pair.in_the_end - mean_end_);
  }
  const double ridge = BestRidge(pairs, squares, products);
  squares(1, 1) += ridge;
  if (squares(0, 0) > 0) {
    doubt_ = squares.inverse();  // the ridge keeps it well conditioned
    slopes_ = doubt_ * products;
  }
  // A falling plane would be chance: who is better on the way is not worse in the end for that.
  if (squares(0, 0) == 0 || slopes_[0] < 0) slopes_ = {0, products[1] / squares(1, 1)};
  double free = count_ - 2;
  if (size_deviation_ > 0) free -= count_ / (count_ + ridge);
  for (const Pair& pair : pairs) {
    const double rest =
        pair.in_the_end - mean_end_ - slopes_.dot(Offset(pair.at_step, pair.latency_us));
    scatter_ += rest * rest / (free - 2);  // the variance of Student's t
  }
}

double Forecast::BestRidge(std::span<const Pair> pairs, const Eigen::Matrix2d& squares,
                           const Eigen::Vector2d& products) const {
  double best = kRidges.back(), least = std::numeric_limits<double>::infinity();
  if (squares(0, 0) == 0) return best;
  for (const double ridge : kRidges) {
    const Eigen::Matrix2d doubt =
        (squares + Eigen::Matrix2d(Eigen::Vector2d(0, ridge).asDiagonal())).inverse();
    const Eigen::Vector2d slopes = doubt * products;
    double error = 0;
    for (const Pair& pair : pairs) {
      const Eigen::Vector2d offset = Offset(pair.at_step, pair.latency_us);
      const double leverage = 1 / count_ + offset.dot(doubt * offset);
      const double rest = pair.in_the_end - mean_end_ - slopes.dot(offset);
      error += std::pow(rest / std::max(1 - leverage, kLeastFreedom), 2);
    }
    if (error < least) {
      least = error;
      best = ridge;
    }
  }
  return best;
}

Eigen::Vector2d Forecast::Offset(double at_step, double latency_us) const {
  const double size = size_deviation_ > 0 ? (LogOf(latency_us) - mean_size_) / size_deviation_ : 0;
  return {at_step - mean_step_, size};
}

Forecast::Promise Forecast::Of(double at_step, double latency_us) const {
  const Eigen::Vector2d offset = Offset(at_step, latency_us);
  const double doubt = 1 / count_ + offset.dot(doubt_ * offset);
  return {.value = mean_end_ + slopes_.dot(offset), .variance = scatter_ * (1 + doubt)};
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
