#include "latency/builder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "latency/cover.h"
#include "latency/drift.h"
#include "latency/estimator.h"
#include "latency/features.h"
#include "latency/measurements.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

constexpr double kCheckShare = 0.18;  // of the budget, for the held-out networks
constexpr double kSaveSeconds = 10;
constexpr double kReferenceSeconds = 0.3;
constexpr int kFewestNetworks = 4;  // measured however small the budget is
constexpr int kPlainFirst = 4;      // networks also timed without the profiler: these first,
constexpr int kPlainEvery = 8;      // then every so many
constexpr engine::TimingOptions kTotalTiming = {.warmup = 3, .min_runs = 9, .min_seconds = 0.02};
constexpr engine::TimingOptions kProfileTiming = {.warmup = 1, .min_runs = 9, .min_seconds = 0.03};

double SpreadOf(const engine::Timing& timing) {
  return (timing.p90_us - timing.p10_us) / timing.median_us;
}

// Of a profile: its layers' spreads, weighted by their time.
double SpreadOf(const std::vector<engine::LayerTime>& times) {
  double spread = 0, sum = 0;
  for (const engine::LayerTime& time : times) {
    spread += time.spread * time.median_us;
    sum += time.median_us;
  }
  return sum > 0 ? spread / sum : 0;
}

// Runs `measure`; when something else ran on the machine meanwhile, so that the result spreads far
// more than usual, once more, and takes the steadier of the two.
template <typename Measure>
auto Steadily(std::vector<double>& usual_spreads, Measure measure) {
  auto result = measure();
  if (usual_spreads.size() >= 5 && SpreadOf(result) > std::max(0.15, 3 * Median(usual_spreads))) {
    auto again = measure();
    if (SpreadOf(again) < SpreadOf(result)) result = std::move(again);
  }
  usual_spreads.push_back(SpreadOf(result));
  return result;
}

class Builder {
 public:
  Builder(engine::Engine& engine, const Draw& draw, const BuildOptions& options)
      : engine_(engine),
        draw_(draw),
        options_(options),
        lut_(StartingPoint()),
        clock_(engine, ReferenceNetwork(),
               lut_.reference ? std::optional(lut_.reference->latency_us) : std::nullopt),
        measurements_(lut_),
        cover_(draw, options.seed, options.samples_per_key) {
    for (const auto& [key, entry] : lut_.entries) cover_.AddSamples(key, entry.samples);
  }

  Lut Run() {
    try {
      clock_.Tick();
      MeasureLayers();
      MeasureHeldOut();
    } catch (...) {
      SaveBeforeLeaving();
      throw;
    }
    Solve();
    SetBand();
    Save();
    return lut_;
  }

 private:
  Lut StartingPoint() const {
    const engine::Fingerprint target = engine_.Target();
    if (!options_.file.empty() && std::filesystem::exists(options_.file)) {
      Lut lut = ReadLut(options_.file);
      CheckTarget(lut, target, options_.file);
      return lut;
    }
    Lut lut;
    lut.target = target;
    return lut;
  }

  net::Network ReferenceNetwork() const {
    return lut_.reference ? lut_.reference->network : draw_(SubSeed(options_.seed, "cover", 0));
  }

  void MeasureLayers() {
    while (clock_.Seconds() < options_.seconds - CheckSeconds() || networks_ < kFewestNetworks) {
      const std::optional<net::Network> network = cover_.Next();
      if (!network) break;
      clock_.Tick(kReferenceSeconds);
      Measure(*network);
      ++networks_;
      Report();
      if (clock_.Seconds() - saved_ > kSaveSeconds) {
        Solve();
        Save();
      }
    }
    clock_.Tick();
  }

  // To keep for the held-out networks: one takes about as long as a covering network, but no more
  // than their share.
  double CheckSeconds() const {
    const double share = kCheckShare * options_.seconds;
    if (networks_ < kFewestNetworks) return share;
    return std::min(share, options_.check_networks * clock_.Seconds() / networks_);
  }

  void Measure(const net::Network& network) {
    const auto model = CompileForTiming(engine_, network, true);
    const double start = clock_.Seconds();
    Measurement measurement;
    const engine::Timing total = TimeTotal(*model);
    const std::vector<engine::LayerTime> times =
        Steadily(profile_spreads_, [&] { return model->Profile(kProfileTiming); });
    measurement.seconds = 0.5 * (start + clock_.Seconds());
    measurement.total_us = WithoutProfiler(network, total);
    measurement.spread = SpreadOf(total);
    measurement.layers = network.layers;
    measurement.layer_us.assign(network.layers.size(), std::numeric_limits<double>::quiet_NaN());
    for (const engine::LayerTime& time : times) {
      measurement.layer_us.at(time.layer) = time.median_us;
    }
    measurements_.Add(measurement);
    for (size_t i = 0; i < network.layers.size(); ++i) {
      // A layer the profiler does not show will not show next time either.
      const bool shown = !std::isnan(measurement.layer_us[i]);
      cover_.AddSamples(KeyOf(network.layers[i]), shown ? 1 : options_.samples_per_key);
    }
  }

  engine::Timing TimeTotal(engine::CompiledModel& model) {
    return Steadily(total_spreads_, [&] { return model.Time(kTotalTiming); });
  }

  // End-to-end latency as deployed. The profiler's cost per node is learned on some networks, timed
  // both ways.
  double WithoutProfiler(const net::Network& network, const engine::Timing& profiled) {
    double nodes = 0;
    for (const net::Layer& layer : network.layers) nodes += WorkOf(layer).nodes;
    if (networks_ < kPlainFirst || networks_ % kPlainEvery == 0) {
      const auto plain = CompileForTiming(engine_, network, false);
      const engine::Timing timing = TimeTotal(*plain);
      profiler_us_per_node_.push_back((UndisturbedUs(profiled) - UndisturbedUs(timing)) / nodes);
      return UndisturbedUs(timing);
    }
    return UndisturbedUs(profiled) - Median(profiler_us_per_node_) * nodes;
  }

  void MeasureHeldOut() {
    for (int i = 0; i < options_.check_networks; ++i) {
      if (i >= kFewestNetworks && clock_.Seconds() > options_.seconds) break;
      const net::Network network = draw_(SubSeed(options_.seed, "check", i));
      const auto model = CompileForTiming(engine_, network, false);
      clock_.Tick();
      const double start = clock_.Seconds();
      const engine::Timing timing = model->Time(EndToEndTiming());
      held_out_.push_back({network, 0.5 * (start + clock_.Seconds()), timing.median_us});
      ++networks_;
      Report();
    }
    clock_.Tick();
  }

  void Solve() {
    std::optional<ErrorBand> band = lut_.band;
    lut_ = measurements_.Solve(clock_.drift());
    lut_.band = band;
    if (!lut_.reference) lut_.reference = Reference{.network = ReferenceNetwork(), .latency_us = 0};
    lut_.reference->latency_us = clock_.drift().anchor_us();
  }

  void SetBand() {
    if (lut_.entries.empty()) return;
    const Estimator estimator(lut_);
    std::vector<double> predicted, measured;
    for (const HeldOut& one : held_out_) {
      if (!estimator.Covers(one.network)) continue;
      predicted.push_back(estimator.Network(one.network).latency_us);
      measured.push_back(one.latency_us * clock_.drift().Scale(one.seconds));
    }
    if (!measured.empty()) lut_.band = Compare(predicted, measured);
  }

  void Save() {
    saved_ = clock_.Seconds();
    if (!options_.file.empty()) WriteLut(options_.file, lut_);
  }

  // While an exception is on its way, which must not be hidden by one of saving.
  void SaveBeforeLeaving() {
    try {
      Solve();
      Save();
    } catch (const std::exception& error) {
      spdlog::error("what was measured could not be saved: {}", error.what());
    }
  }

  void Report() const {
    if (!options_.on_progress) return;
    options_.on_progress({.networks_done = networks_,
                          .keys_measured = cover_.keys_measured(),
                          .keys_wanted = cover_.keys_wanted(),
                          .seconds = clock_.Seconds(),
                          .seconds_budget = options_.seconds});
  }

  struct HeldOut {
    net::Network network;
    double seconds, latency_us;
  };

  engine::Engine& engine_;
  const Draw& draw_;
  const BuildOptions& options_;
  Lut lut_;
  ReferenceClock clock_;
  Measurements measurements_;
  Cover cover_;
  std::vector<HeldOut> held_out_;
  std::vector<double> total_spreads_, profile_spreads_, profiler_us_per_node_;
  int networks_ = 0;
  double saved_ = 0;
};

}  // namespace

Lut BuildLut(engine::Engine& engine, const std::function<net::Network(uint64_t draw)>& draw,
             const BuildOptions& options) {
  return Builder(engine, draw, options).Run();
}

}  // namespace lathe::latency
