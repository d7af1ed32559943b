#include <algorithm>
#include <string>
#include <vector>

#include "latency/builder.h"
#include "latency/drift.h"
#include "latency/estimator.h"
#include "latency/stats.h"

namespace lathe::latency {

CheckResult CheckLut(engine::Engine& engine, const Lut& lut,
                     const std::vector<net::Network>& networks) {
  CheckResult result;
  if (networks.empty()) return result;
  const Estimator estimator(lut);
  ReferenceClock clock =
      lut.reference ? ReferenceClock(engine, lut.reference->network, lut.reference->latency_us)
                    : ReferenceClock(engine, networks.front());
  clock.Tick();
  std::vector<double> seconds;
  for (size_t i = 0; i < networks.size(); ++i) {
    const double predicted_us =
        estimator.Network(networks[i]).latency_us;  // throws before the work of timing
    const auto model = CompileForTiming(engine, networks[i], false);
    clock.Tick();
    const double start = clock.Seconds();
    const engine::Timing timing = model->Time(EndToEndTiming());
    seconds.push_back(0.5 * (start + clock.Seconds()));
    clock.Tick();
    const std::string& name = networks[i].name;
    result.rows.push_back({.name = name.empty() ? "network " + std::to_string(i) : name,
                           .predicted_us = predicted_us,
                           .measured_us = timing.median_us});
  }
  std::vector<double> predicted, measured;
  for (size_t i = 0; i < networks.size(); ++i) {
    result.rows[i].measured_us *= clock.drift().Scale(seconds[i]);
    predicted.push_back(result.rows[i].predicted_us);
    measured.push_back(result.rows[i].measured_us);
  }
  result.band = Compare(predicted, measured);
  result.slowdown = clock.drift().Slowdown();
  return result;
}

}  // namespace lathe::latency
