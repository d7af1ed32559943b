#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "engine/timing.h"
#include "latency/builder.h"
#include "latency/drift.h"
#include "latency/estimator.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

// Networks are timed several at a time, each for a while in every round: a machine that is slow for
// a second or two must not make some of them slow and others not.
constexpr size_t kInTurns = 16;
constexpr int kRounds = 7;

}  // namespace

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
  std::vector<std::unique_ptr<engine::CompiledModel>> models;
  for (size_t i = 0; i < networks.size(); ++i) {
    models.push_back(CompileForTiming(engine, networks[i], false));
    if (clock) reference_us.push_back(clock->Tick()->latency_us);
    CheckRow& row = result.rows[i];
    if (row.name.empty()) row.name = fmt::format("network {}", i);
    if (models.size() < kInTurns && i + 1 < networks.size()) continue;
    std::vector<engine::CompiledModel*> in_turns;
    for (const auto& model : models) in_turns.push_back(model.get());
    for (const engine::Timing& timing : engine::TimeSteadily(in_turns, kRounds)) {
      CheckRow& timed = result.rows[measured.size()];
      timed.measured_us = UndisturbedUs(timing);
      measured.push_back(timed.measured_us);
    }
    models.clear();
    if (options.on_progress) {
      options.on_progress(static_cast<int>(i) + 1, static_cast<int>(networks.size()));
    }
  }
  result.band = Compare(predicted, measured);
  if (clock) {
    reference_us.push_back(clock->Tick()->latency_us);
    const auto [least, most] = std::ranges::minmax(reference_us);
    result.slowdown = Median(reference_us) / lut.reference->latency_us;
    result.least_slowdown = least / lut.reference->latency_us;
    result.most_slowdown = most / lut.reference->latency_us;
  }
  return result;
}

}  // namespace lathe::latency
