#include "latency/drift.h"

#include <algorithm>

#include "net/graph.h"
#include "net/weights.h"

namespace lathe::latency {

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
