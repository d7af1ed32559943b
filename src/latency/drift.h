// The machine's speed wanders by 5-10 % over minutes. Here are the network that is timed again and
// again, in between, as a witness, and the smoothing of what it and others tell; what is made of it
// is in measurements.cc. One thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"

namespace lathe::latency {

struct ReferenceTime {
  double seconds = 0;  // on the clock of the build
  double latency_us = 0;
};

// Deviation of the smoothing kernel for points at times `at`: about `seconds`, but over a sensible
// number of points.
double SmoothingWidth(const std::vector<double>& at, double seconds);

// The `values` at times `from` (ascending), smoothed to times `to`: lines fitted under a Gaussian
// kernel. Values far beyond the usual count less: a disturbed network must not pass for a slow
// machine.
std::vector<double> Smooth(const std::vector<double>& from, const std::vector<double>& values,
                           const std::vector<double>& to, double width);

// How slow the reference network was at the given times: logarithm of its latency over the usual
// one, smoothed; 0 without timings.
std::vector<double> ReferenceSlowness(const std::vector<ReferenceTime>& times,
                                      const std::vector<double>& at);

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
  return {.warmup = 5, .min_runs = 15, .min_seconds = 0.2};
}

// The latency a timing stands for: its median, unless much of it lies far above the 10th
// percentile, as when other programs take the processor away in most of the runs.
double UndisturbedUs(const engine::Timing& timing);

// Compiles a network with weights as good as any other for timing.
std::unique_ptr<engine::CompiledModel> CompileForTiming(engine::Engine& engine,
                                                        const net::Network& network, bool profile);

}  // namespace lathe::latency
