// The machine's speed wanders by 5-10 % over minutes. What takes it out of the samples is told in
// measurements.h; here is the network that is timed again and again, in between, as a witness: how
// much the speed spread, and what it was when a LUT was made. One thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "engine/engine.h"

namespace lathe::latency {

struct ReferenceTime {
  double seconds = 0;  // on the clock of the build
  double latency_us = 0;
};

// The reference network, compiled, with a clock.
class ReferenceClock {
 public:
  // The clock shows `seconds` at construction.
  ReferenceClock(engine::Engine& engine, const net::Network& reference, double seconds = 0);

  double Seconds() const;
  // Times the reference, unless that was done within the last `max_age` seconds.
  std::optional<ReferenceTime> Tick(double max_age = 0);

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
  std::unique_ptr<engine::CompiledModel> model_;
  std::optional<double> last_tick_;
};

// For networks whose end-to-end latency is the result.
inline engine::TimingOptions EndToEndTiming() {
  return {.warmup = 5, .min_runs = 15, .min_seconds = 0.06};
}

// The latency a timing stands for: its median, unless much of it lies far above the 10th
// percentile, as when other programs take the processor away in most of the runs.
double UndisturbedUs(const engine::Timing& timing);

// Compiles a network with weights as good as any other for timing.
std::unique_ptr<engine::CompiledModel> CompileForTiming(engine::Engine& engine,
                                                        const net::Network& network, bool profile);

}  // namespace lathe::latency
