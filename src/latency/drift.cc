#include "latency/drift.h"

#include <algorithm>

#include "latency/stats.h"
#include "net/graph.h"
#include "net/weights.h"

namespace lathe::latency {

void Drift::Add(double seconds, double latency_us) { points_.push_back({seconds, latency_us}); }

double Drift::anchor_us() const {
  if (anchor_us_) return *anchor_us_;
  std::vector<double> all;
  for (const Point& point : points_) all.push_back(point.latency_us);
  return all.empty() ? 0 : Median(std::move(all));
}

// Median of a point and its neighbours: one disturbed reference timing must not spoil the networks
// around it.
double Drift::Smoothed(size_t index) const {
  std::vector<double> window;
  const size_t first = index == 0 ? 0 : index - 1;
  for (size_t i = first; i <= std::min(index + 1, points_.size() - 1); ++i)
    window.push_back(points_[i].latency_us);
  return Median(std::move(window));
}

double Drift::Scale(double seconds) const {
  if (points_.empty()) return 1;
  const auto next =
      std::partition_point(points_.begin(), points_.end(),
                           [seconds](const Point& point) { return point.seconds < seconds; });
  const size_t after = std::min<size_t>(next - points_.begin(), points_.size() - 1);
  const size_t before = after == 0 ? 0 : after - 1;
  const double span = points_[after].seconds - points_[before].seconds;
  const double weight =
      span > 0 ? std::clamp((seconds - points_[before].seconds) / span, 0.0, 1.0) : 1;
  return anchor_us() / ((1 - weight) * Smoothed(before) + weight * Smoothed(after));
}

double Drift::Spread() const {
  std::vector<double> all;
  for (const Point& point : points_) all.push_back(point.latency_us);
  return RelativeSpread(all);
}

double Drift::Slowdown() const {
  std::vector<double> all;
  for (const Point& point : points_) all.push_back(point.latency_us);
  return all.empty() ? 1 : Median(std::move(all)) / anchor_us();
}

ReferenceClock::ReferenceClock(engine::Engine& engine, const net::Network& reference,
                               std::optional<double> anchor_us)
    : model_(CompileForTiming(engine, reference, false)), drift_(anchor_us) {}

void ReferenceClock::Tick(double max_age) {
  const double now = Seconds();
  if (last_tick_ && now - *last_tick_ < max_age) return;
  const engine::Timing timing = model_->Time({.warmup = 2, .min_runs = 7, .min_seconds = 0.015});
  last_tick_ = Seconds();
  drift_.Add(0.5 * (now + *last_tick_), UndisturbedUs(timing));
}

double UndisturbedUs(const engine::Timing& timing) {
  constexpr double kMostJitter = 1.05;  // median / p10 on a machine of one's own is 1.01 to 1.03
  return std::min(timing.median_us, kMostJitter * timing.p10_us);
}

std::unique_ptr<engine::CompiledModel> CompileForTiming(engine::Engine& engine,
                                                        const net::Network& network, bool profile) {
  const net::Weights weights = net::RandomWeights(net::Lower(network), 1);
  return engine.Compile(network, weights, {.profile = profile});
}

}  // namespace lathe::latency
