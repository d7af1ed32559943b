#include "latency/drift.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "latency/stats.h"
#include "net/graph.h"
#include "net/weights.h"

namespace lathe::latency {

double SmoothingWidth(const std::vector<double>& at, double seconds) {
  std::vector<double> gaps;
  for (size_t i = 1; i < at.size(); ++i) gaps.push_back(at[i] - at[i - 1]);
  constexpr double kFewestPoints = 2, kMostPoints = 8;
  const double gap = gaps.empty() ? 1 : Median(gaps);
  return std::clamp(seconds, kFewestPoints * gap, kMostPoints * gap);
}

std::vector<double> Smooth(const std::vector<double>& from, const std::vector<double>& values,
                           const std::vector<double>& to, double width) {
  constexpr double kReach = 4;  // of the kernel, in deviations
  constexpr double kLeastUsual = 0.02;
  constexpr double kFlat = 1;  // how many points' worth of doubt that there is a slope
  std::vector<double> absolute;
  for (const double value : values) absolute.push_back(std::abs(value));
  const double usual = std::max(3 * Median(absolute), kLeastUsual);
  std::vector<double> smooth;
  for (const double t : to) {
    Eigen::Matrix2d normal = Eigen::Vector2d(1e-12, kFlat).asDiagonal();
    Eigen::Vector2d right = Eigen::Vector2d::Zero();
    const auto first = std::ranges::lower_bound(from, t - kReach * width);
    for (size_t i = static_cast<size_t>(first - from.begin()); i < from.size(); ++i) {
      const double distance = (from[i] - t) / width;
      if (distance > kReach) break;
      const double trust = std::min(1.0, usual / std::max(std::abs(values[i]), 1e-9));
      const Eigen::Vector2d x(1, distance);
      const double w = trust * std::exp(-0.5 * distance * distance);
      normal += w * x * x.transpose();
      right += w * values[i] * x;
    }
    smooth.push_back(normal.ldlt().solve(right)[0]);
  }
  return smooth;
}

std::vector<double> ReferenceSlowness(const std::vector<ReferenceTime>& times,
                                      const std::vector<double>& at) {
  constexpr double kReferenceSeconds = 15;  // single timings of it say little
  if (times.empty()) return std::vector<double>(at.size());
  std::vector<double> latencies, from, slowness;
  for (const ReferenceTime& time : times) latencies.push_back(time.latency_us);
  const double usual = Median(latencies);
  for (const ReferenceTime& time : times) {
    from.push_back(time.seconds);
    slowness.push_back(std::log(time.latency_us / usual));
  }
  return Smooth(from, slowness, at, SmoothingWidth(from, kReferenceSeconds));
}

ReferenceClock::ReferenceClock(engine::Engine& engine, const net::Network& reference,
                               double seconds)
    : start_(Clock::now() -
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))),
      model_(CompileForTiming(engine, reference, false)) {}

double ReferenceClock::Seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

std::optional<ReferenceTime> ReferenceClock::Tick(double max_age) {
  const double now = Seconds();
  if (last_tick_ && now - *last_tick_ < max_age) return {};
  const engine::Timing timing = model_->Time({.warmup = 2, .min_runs = 7, .min_seconds = 0.015});
  last_tick_ = Seconds();
  return ReferenceTime{.seconds = 0.5 * (now + *last_tick_), .latency_us = UndisturbedUs(timing)};
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
