// Takes the machine's drift out of timings: its speed wanders by 5-10 % over minutes, so a
// reference network is timed every now and then, and every other timing is divided by how slow the
// reference was at that moment. One thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"

namespace lathe::latency {

// Timings of the reference over time. A plain value.
class Drift {
 public:
  // With `anchor_us`, scales are relative to that latency; otherwise to the median of what was
  // added.
  explicit Drift(std::optional<double> anchor_us = {}) : anchor_us_(anchor_us) {}

  void Add(double seconds, double latency_us);
  double anchor_us() const;
  // Multiply a latency taken at `seconds` by this: anchor / reference at that moment, interpolated
  // between smoothed neighbours. 1 before anything was added.
  double Scale(double seconds) const;
  double Spread() const;    // relative, of the raw timings
  double Slowdown() const;  // median / anchor

 private:
  struct Point {
    double seconds, latency_us;
  };
  double Smoothed(size_t index) const;
  std::optional<double> anchor_us_;
  std::vector<Point> points_;
};

// The reference network, compiled, with a clock that starts at construction.
class ReferenceClock {
 public:
  ReferenceClock(engine::Engine& engine, const net::Network& reference,
                 std::optional<double> anchor_us = {});

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  // Times the reference unless that was done within the last `max_age` seconds.
  void Tick(double max_age = 0);
  const Drift& drift() const { return drift_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
  std::unique_ptr<engine::CompiledModel> model_;
  Drift drift_;
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
