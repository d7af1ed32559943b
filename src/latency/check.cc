#include <optional>
#include <vector>

#include "base/error.h"
#include "latency/builder.h"
#include "latency/drift.h"
#include "latency/estimator.h"
#include "latency/stats.h"

namespace lathe::latency {

CheckResult CheckLut(engine::Engine& engine, const Lut& lut,
                     const std::vector<net::Network>& networks, const CheckOptions& options) {
  CheckResult result;
  if (networks.empty()) return result;
  const Estimator estimator(lut);
  std::vector<double> predicted, measured, reference_us;
  for (const net::Network& network : networks) {  // throws before the work of timing
    const NetworkEstimate estimate = estimator.Network(network);
    predicted.push_back(estimate.latency_us);
    result.rows.push_back({.name = network.name,
                           .predicted_us = estimate.latency_us,
                           .sigma_us = estimate.sigma_us,
                           .estimated_layers = estimate.estimated_layers,
                           .layers = static_cast<int>(network.layers.size())});
  }
  std::optional<ReferenceClock> clock;
  if (lut.reference) clock.emplace(engine, lut.reference->network);
  for (size_t i = 0; i < networks.size(); ++i) {
    const auto model = CompileForTiming(engine, networks[i], false);
    if (clock) reference_us.push_back(clock->Tick()->latency_us);
    CheckRow& row = result.rows[i];
    row.measured_us = UndisturbedUs(model->Time(EndToEndTiming()));
    measured.push_back(row.measured_us);
    if (row.name.empty()) row.name = fmt::format("network {}", i);
    if (options.on_progress) {
      options.on_progress(static_cast<int>(i) + 1, static_cast<int>(networks.size()));
    }
  }
  result.band = Compare(predicted, measured);
  if (lut.reference) result.slowdown = Median(reference_us) / lut.reference->latency_us;
  return result;
}

}  // namespace lathe::latency
