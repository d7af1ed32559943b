#include "latency/builder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "latency/cover.h"
#include "latency/drift.h"
#include "latency/estimator.h"
#include "latency/journal.h"
#include "latency/measurements.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

constexpr double kCheckShare = 0.18;        // of the budget, for the held-out networks
constexpr double kAlsoShare = 0.25;         // of the time, at most, for BuildOptions::also
constexpr size_t kAlsoSamples = 3;          // of each of them
constexpr double kReferenceSeconds = 0.25;  // between two timings of the reference network,
constexpr double kMostReferenceSeconds = 10;
constexpr double kReferenceCost = 200;  // if they take long, so many times its latency
constexpr int kReferenceDraws = 16;     // the smallest of which is the reference
constexpr size_t kFewestNetworks = 4;   // measured however small the budget is
constexpr size_t kPlainFirst = 4;       // networks also timed without the profiler: these first,
constexpr size_t kPlainEvery = 4;       // then every so many
constexpr size_t kShrunkEvery = 5;      // networks measured with a smaller image than the space's
constexpr int kShrunkSide = 128;        // and what is small already, in px
constexpr double kOutside = 0.2;        // worth of a network outside BuildOptions::between_us
constexpr double kSpread = 0.5;         // share of the budget after which uncertainty decides
constexpr engine::TimingOptions kTotalTiming = {.warmup = 3, .min_runs = 9, .min_seconds = 0.02};
constexpr engine::TimingOptions kProfileTiming = {.warmup = 1, .min_runs = 5, .min_seconds = 0.04};

double SpreadOf(const engine::Timing& timing) { return timing.Spread(); }

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

fs::path LogOf(fs::path file) {
  if (!file.empty()) file += ".log";
  return file;
}

class Builder {
 public:
  Builder(engine::Engine& engine, const Draw& draw, const BuildOptions& options)
      : engine_(engine),
        draw_(draw),
        options_(options),
        target_(engine.Target()),
        prior_(StartingPoint()),
        journal_(LogOf(options.file), target_),
        reference_(ReferenceNetwork()),
        clock_(engine, reference_, journal_.past().now_seconds),
        measurements_(prior_),
        cover_(draw, options.seed, options.samples_per_key),
        also_(CheapestFirst(options.also)) {
    if (!journal_.past().reference) journal_.Add(reference_);
    Replay();
  }

  Lut Run() {
    MeasureLayers();
    while (HeldOutLeft() && (held_out_.size() < kFewestNetworks || Seconds() < options_.seconds)) {
      MeasureHeldOut();
    }
    Lut lut = Solve();
    if (!options_.file.empty()) WriteLut(options_.file, lut);
    journal_.Remove();
    return lut;
  }

 private:
  Lut StartingPoint() const {
    Lut lut;
    if (!options_.file.empty() && fs::exists(options_.file)) {
      lut = ReadLut(options_.file);
      CheckTarget(lut, target_, options_.file);
    }
    lut.target = target_;
    return lut;
  }

  net::Network ReferenceNetwork() const {
    if (prior_.reference) return prior_.reference->network;
    if (journal_.past().reference) return *journal_.past().reference;
    net::Network smallest = draw_(SubSeed(options_.seed, "reference", 0));
    for (uint64_t i = 1; i < kReferenceDraws; ++i) {
      net::Network other = draw_(SubSeed(options_.seed, "reference", i));
      if (net::Count(other).macs < net::Count(smallest).macs) smallest = std::move(other);
    }
    return smallest;
  }

  static std::vector<net::Network> CheapestFirst(std::vector<net::Network> networks) {
    std::ranges::stable_sort(networks, {},
                             [](const net::Network& network) { return net::Count(network).macs; });
    return networks;
  }

  // What was measured before, as if it were now.
  void Replay() {
    for (const auto& [key, entry] : prior_.entries) cover_.AddSamples(key, entry.samples);
    for (const Measurement& measurement : journal_.past().measurements) Count(measurement);
    for (const ReferenceTime& time : journal_.past().reference_times) AddReference(time);
    held_out_ = journal_.past().held_out;
  }

  void AddReference(const ReferenceTime& time) {
    reference_us_.push_back(time.latency_us);
    measurements_.Add(time);
  }

  void Count(const Measurement& measurement) {
    measurements_.Add(measurement);
    ++networks_;
    for (size_t i = 0; i < measurement.layers.size(); ++i) {
      // A layer the profiler does not show will not show next time either.
      const bool shown = measurement.layer_us[i] > 0;
      cover_.AddSamples(KeyOf(measurement.layers[i]), shown ? 1 : options_.samples_per_key);
    }
  }

  // Of measuring, earlier sessions included.
  double Seconds() const {
    return journal_.past().measuring_seconds + clock_.Seconds() - journal_.past().now_seconds;
  }

  // Times the reference network now and then, so that it takes a small share of the time.
  void Tick() {
    const double age = reference_us_.empty()
                           ? 0
                           : std::clamp(kReferenceCost * Median(reference_us_) * 1e-6,
                                        kReferenceSeconds, kMostReferenceSeconds);
    const std::optional<ReferenceTime> time = clock_.Tick(age);
    if (!time) return;
    AddReference(*time);
    journal_.Add(*time);
  }

  // The next of BuildOptions::also, over and over until each was measured some times. All but the
  // first round are spread over the whole time, lest a slow minute of the machine spoil them all.
  std::optional<net::Network> NextAlso() {
    for (; also_next_ < kAlsoSamples * also_.size(); ++also_next_) {
      const net::Network& network = also_[also_next_ % also_.size()];
      const auto pass = static_cast<int>(also_next_ / also_.size());
      const auto wanted = [&](const net::Layer& layer) {
        return cover_.samples(KeyOf(layer)) <= pass;
      };
      if (!std::ranges::any_of(network.layers, wanted)) continue;
      ++also_next_;
      return network;
    }
    return {};
  }

  void MeasureAlso() {
    const double start = Seconds();
    if (const std::optional<net::Network> network = NextAlso()) Measure(*network);
    also_seconds_ += Seconds() - start;
  }

  void MeasureLayers() {
    // Once each before anything else: a short table that has seen none of them is off by multiples.
    while (also_next_ < also_.size() && also_seconds_ <= kAlsoShare * options_.seconds)
      MeasureAlso();
    while (Seconds() < options_.seconds - CheckSeconds() || networks_ < kFewestNetworks) {
      if (!by_worth_ && Seconds() > kSpread * options_.seconds) SeekUncertainty();
      const std::optional<net::Network> network = cover_.Next();
      if (!network) break;
      Measure(*network);
      if (also_seconds_ <= kAlsoShare * Seconds()) MeasureAlso();
      if (HeldOutLeft() && Seconds() > HeldOutDue()) MeasureHeldOut();
      if (networks_ % kShrunkEvery == 0 && network->input.h > kShrunkSide)
        Measure(Shrunk(*network));
    }
    while (also_next_ < also_.size() && Seconds() < options_.seconds) MeasureAlso();
  }

  // Networks that take other images than those of the space are asked about too (baselines, `lathe
  // net time`); a model that has seen some need not extrapolate.
  net::Network Shrunk(const net::Network& network) const {
    constexpr double kSmallest = 0.4;
    Random random(SubSeed(options_.seed, "shrunk", networks_));
    const double factor = kSmallest + (1 - kSmallest) * random.Uniform();
    const int side = static_cast<int>(factor * network.input.h);
    try {
      return net::WithInput(network, {network.input.c, side, side});
    } catch (const Error&) {
      return network;  // too small for all its strides
    }
  }

  // Each network is worth the share of its time that the table so far is not sure of, if it lies in
  // the interval in play.
  void SeekUncertainty() {
    by_worth_ = true;
    const auto estimator = std::make_shared<Estimator>(measurements_.Solve());
    cover_.SetWorth([estimator, between = options_.between_us](const net::Network& network) {
      if (!estimator->Covers(network)) return 1.0;
      const NetworkEstimate estimate = estimator->Network(network);
      const double us = estimate.latency_us;
      const double share = !between || (us >= between->low && us <= between->high) ? 1 : kOutside;
      double sigma_us = 0;
      for (const Estimate& layer : estimate.layers) sigma_us += layer.sigma_us;
      return share * sigma_us / us;
    });
  }

  // To keep for the held-out networks: one takes about as long as a covering network, but no more
  // than their share.
  double CheckSeconds() const {
    const double left = 1 - static_cast<double>(held_out_.size()) / options_.check_networks;
    const double share = left * kCheckShare * options_.seconds;
    if (networks_ < kFewestNetworks) return share;
    return std::min(share,
                    left * options_.check_networks * Seconds() / static_cast<double>(networks_));
  }

  void Measure(const net::Network& network) {
    Tick();
    const auto model = CompileForTiming(engine_, network, true);
    Measurement measurement;
    const double start = clock_.Seconds();
    const std::vector<engine::LayerTime> times =
        Steadily(profile_spreads_, [&] { return model->Profile(kProfileTiming); });
    measurement.seconds = 0.5 * (start + clock_.Seconds());
    measurement.layers = network.layers;
    measurement.layer_us.assign(network.layers.size(), 0.0);
    measurement.node_us.assign(network.layers.size(), {});
    for (const engine::LayerTime& time : times) {
      const auto layer = static_cast<size_t>(time.layer);
      measurement.layer_us.at(layer) = std::max(time.median_us, 0.0);
      measurement.node_us.at(layer) = time.node_us;
    }
    TimeTotal(network, measurement);
    journal_.Add(measurement);
    Count(measurement);
    Report();
  }

  // End-to-end latency as deployed, of some networks. The profiler costs time of its own, so that
  // takes a model without it.
  void TimeTotal(const net::Network& network, Measurement& measurement) {
    if (networks_ >= kPlainFirst && networks_ % kPlainEvery != 0) return;
    const auto plain = CompileForTiming(engine_, network, false);
    const engine::Timing timing =
        Steadily(total_spreads_, [&] { return plain->Time(kTotalTiming); });
    measurement.total_us = UndisturbedUs(timing);
    measurement.spread = timing.Spread();
  }

  bool HeldOutLeft() const { return static_cast<int>(held_out_.size()) < options_.check_networks; }

  // They are spread over the whole time, lest the band tell only how fast the machine was at the
  // end.
  double HeldOutDue() const {
    return options_.seconds * (0.5 + static_cast<double>(held_out_.size())) /
           options_.check_networks;
  }

  void MeasureHeldOut() {
    const net::Network network = draw_(SubSeed(options_.seed, "check", held_out_.size()));
    const auto model = CompileForTiming(engine_, network, false);
    const double start = clock_.Seconds();
    const double latency_us = UndisturbedUs(model->Time(EndToEndTiming()));
    held_out_.push_back({network, 0.5 * (start + clock_.Seconds()), latency_us});
    journal_.Add(held_out_.back());
    Report();
  }

  Lut Solve() const {
    Lut lut = measurements_.SolveAndCheckKeys(options_.seed);
    lut.reference = Reference{
        .network = reference_,
        .latency_us = prior_.reference ? prior_.reference->latency_us : Median(reference_us_)};
    lut.noise_floor = RelativeSpread(reference_us_);
    if (lut.entries.empty()) return lut;
    const Estimator estimator(lut);
    std::vector<double> predicted, measured;
    for (const HeldOut& one : held_out_) {
      if (!estimator.Covers(one.network)) continue;
      predicted.push_back(estimator.Network(one.network).latency_us);
      measured.push_back(one.latency_us);
    }
    if (!measured.empty()) lut.band = Compare(predicted, measured);
    return lut;
  }

  void Report() const {
    if (!options_.on_progress) return;
    options_.on_progress({.networks_done = static_cast<int>(networks_ + held_out_.size()),
                          .keys_measured = cover_.keys_measured(),
                          .keys_wanted = cover_.keys_wanted(),
                          .seconds = Seconds(),
                          .seconds_budget = options_.seconds});
  }

  engine::Engine& engine_;
  const Draw& draw_;
  const BuildOptions& options_;
  engine::Fingerprint target_;
  Lut prior_;
  Journal journal_;
  net::Network reference_;
  ReferenceClock clock_;
  Measurements measurements_;
  Cover cover_;
  std::vector<double> reference_us_;
  std::vector<HeldOut> held_out_;
  std::vector<double> total_spreads_, profile_spreads_;
  size_t networks_ = 0;
  bool by_worth_ = false;
  std::vector<net::Network> also_;
  size_t also_next_ = 0;  // in also_, round and round
  double also_seconds_ = 0;
};

}  // namespace

Lut BuildLut(engine::Engine& engine, const std::function<net::Network(uint64_t draw)>& draw,
             const BuildOptions& options) {
  return Builder(engine, draw, options).Run();
}

}  // namespace lathe::latency
