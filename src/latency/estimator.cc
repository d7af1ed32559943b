#include "latency/estimator.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <unordered_map>

#include "base/error.h"
#include "latency/features.h"
#include "latency/part_model.h"
#include "latency/regression.h"
#include "latency/stats.h"
#include "latency/work_costs.h"

namespace lathe::latency {
namespace {

constexpr double kSmallestSpread = 0.01;
constexpr double kUnknownSpread = 0.1;  // where no key has enough samples

double SampleDeviation(double spread, double usual, int samples) {
  // Few samples say little about their own spread, so it is at least the usual one.
  return std::max(spread, usual) / (kNormalSpread * std::sqrt(std::max(samples, 1)));
}

// The usual spread of a key's samples.
template <typename Entries>
double UsualSpread(const Entries& entries) {
  std::vector<double> spreads;
  for (const auto& [key, entry] : entries) {
    if (entry.samples > 2) spreads.push_back(entry.spread);
  }
  return std::max(spreads.empty() ? kUnknownSpread : Median(spreads), kSmallestSpread);
}

// Two opinions on a latency, each with its relative deviation; weighed by their precision.
struct Opinion {
  double latency_us, deviation;
};
Opinion Blend(const Opinion& a, const Opinion& b) {
  const double wa = 1 / (a.deviation * a.deviation);
  const double wb = 1 / (b.deviation * b.deviation);
  return {std::exp((wa * std::log(a.latency_us) + wb * std::log(b.latency_us)) / (wa + wb)),
          1 / std::sqrt(wa + wb)};
}

// A cache for many threads at once: stage 1 asks for the same few thousand things millions of
// times.
template <typename Value>
class Memory {
 public:
  template <typename Compute>
  Value Get(const std::string& key, Compute compute) const {
    const Shard& shard = shards_[std::hash<std::string>()(key) % shards_.size()];
    {
      const std::shared_lock lock(shard.mutex);
      if (const auto found = shard.known.find(key); found != shard.known.end()) {
        return found->second;
      }
    }
    const Value value = compute();
    const std::unique_lock lock(shard.mutex);
    return shard.known.emplace(key, value).first->second;
  }

 private:
  struct Shard {
    mutable std::shared_mutex mutex;
    mutable std::unordered_map<std::string, Value> known;
  };
  std::array<Shard, 16> shards_;
};

}  // namespace

struct Estimator::Impl {
  explicit Impl(const Lut& lut);

  bool Covers(const net::Layer& layer) const;
  Estimate Compute(const net::Layer& layer, const LayerKey& key) const;
  Opinion OfPart(const Part& part) const;
  std::optional<Opinion> FromParts(const net::Layer& layer) const;
  Opinion FromWork(const net::Layer& layer) const;
  double FirstGuess(const Work& work) const { return std::max(costs.dot(WorkTerms(work)), 1e-3); }
  void FitLayers() const;

  std::map<LayerKey, LutEntry> entries;
  std::map<PartKey, PartEntry> parts;
  double overhead_us = 0;
  double network_deviation = 0;  // relative, that all layers of a network share
  double usual_spread = 0, usual_part_spread = 0;

  PartModel part_model;
  // Where the parts don't suffice: of whole layers, log(latency / first guess) by operation; fitted
  // when first asked for.
  std::set<net::Op> ops;  // measured
  mutable std::once_flag layers_once;
  mutable Eigen::VectorXd costs;
  mutable std::map<net::Op, Regression> layer_models;

  Memory<Estimate> layers_known;
  Memory<Opinion> parts_known;
};

Estimator::Impl::Impl(const Lut& lut)
    : entries(lut.entries),
      parts(lut.parts),
      overhead_us(lut.overhead_us),
      network_deviation(lut.band ? kMeanAbsoluteToDeviation * lut.band->mape : 0),
      usual_spread(UsualSpread(lut.entries)),
      usual_part_spread(UsualSpread(lut.parts)),
      part_model(lut.parts) {
  if (entries.empty() && parts.empty()) {
    throw Error(ErrorKind::kInput,
                "the LUT has no entries: measure some layers first with `lathe lut build`");
  }
  for (const auto& [key, entry] : entries) ops.insert(entry.layer.op);
}

void Estimator::Impl::FitLayers() const {
  Eigen::MatrixXd terms(static_cast<Eigen::Index>(entries.size()), kWorkTerms);
  Eigen::VectorXd latency(terms.rows());
  std::map<net::Op, std::vector<const LutEntry*>> by_op;
  Eigen::Index row = 0;
  for (const auto& [key, entry] : entries) {
    terms.row(row) = WorkTerms(WorkOf(entry.layer));
    latency[row++] = entry.latency_us;
    by_op[entry.layer.op].push_back(&entry);
  }
  costs = FitWorkCosts(terms, latency);
  for (const auto& [op, of_op] : by_op) {
    const auto count = static_cast<Eigen::Index>(of_op.size());
    Eigen::MatrixXd features;
    Eigen::VectorXd targets(count), noise(count);
    for (Eigen::Index i = 0; i < count; ++i) {
      const LutEntry& entry = *of_op[static_cast<size_t>(i)];
      const Work work = WorkOf(entry.layer);
      const Eigen::VectorXd features_of = Features(entry.layer, work);
      if (i == 0) features.resize(count, features_of.size());
      features.row(i) = features_of;
      targets[i] = std::log(entry.latency_us / FirstGuess(work));
      noise[i] = 1.0 / std::max(entry.samples, 1);
    }
    layer_models.emplace(op, Regression(features, targets, noise / noise.mean()));
  }
}

bool Estimator::Impl::Covers(const net::Layer& layer) const {
  return ops.contains(layer.op) || std::ranges::all_of(PartsOf(layer), [&](const Part& part) {
           return part_model.Covers(part);
         });
}

// What was measured of the part, and what parts like it would take.
Opinion Estimator::Impl::OfPart(const Part& part) const {
  const PartKey key = KeyOf(part);
  return parts_known.Get(key, [&] {
    const PartModel::Prediction prediction = part_model.Predict(part);
    const Opinion modelled{prediction.latency_us, std::max(prediction.sigma, kSmallestSpread)};
    const auto found = parts.find(key);
    if (found == parts.end()) return modelled;
    const PartEntry& entry = found->second;
    return Blend(modelled, {entry.latency_us,
                            SampleDeviation(entry.spread, usual_part_spread, entry.samples)});
  });
}

// The errors of a layer's parts have the same causes, so their deviations are added up.
std::optional<Opinion> Estimator::Impl::FromParts(const net::Layer& layer) const {
  Opinion sum{0, 0};
  for (const Part& part : PartsOf(layer)) {
    if (!part_model.Covers(part)) return {};
    const Opinion one = OfPart(part);
    sum.latency_us += one.latency_us;
    sum.deviation += one.latency_us * one.deviation;
  }
  sum.deviation /= sum.latency_us;
  return sum;
}

Opinion Estimator::Impl::FromWork(const net::Layer& layer) const {
  std::call_once(layers_once, [this] { FitLayers(); });
  const Work work = WorkOf(layer);
  const Regression::Prediction prediction =
      layer_models.at(layer.op).Predict(Features(layer, work));
  return {FirstGuess(work) * std::exp(prediction.mean), prediction.sigma};
}

Estimate Estimator::Impl::Compute(const net::Layer& layer, const LayerKey& key) const {
  const std::optional<Opinion> composed = FromParts(layer);
  if (const auto found = entries.find(key); found != entries.end()) {
    const LutEntry& entry = found->second;
    const Opinion measured{entry.latency_us,
                           SampleDeviation(entry.spread, usual_spread, entry.samples)};
    const Opinion blended = composed ? Blend(measured, *composed) : measured;
    return {.latency_us = blended.latency_us,
            .sigma_us = blended.deviation * blended.latency_us,
            .measured = true};
  }
  if (!Covers(layer)) {
    throw Error(ErrorKind::kInput,
                "the LUT has no measured layer of operation '{}', so '{}' cannot be estimated: "
                "extend it with `lathe "
                "lut build` on a space that has this operation",
                net::Name(layer.op), key);
  }
  const Opinion estimated = composed ? *composed : FromWork(layer);
  return {.latency_us = estimated.latency_us,
          .sigma_us = estimated.deviation * estimated.latency_us,
          .measured = false};
}

Estimator::Estimator(const Lut& lut) : impl_(std::make_unique<Impl>(lut)) {}
Estimator::~Estimator() = default;

bool Estimator::Covers(const net::Network& network) const {
  return std::ranges::all_of(network.layers,
                             [this](const net::Layer& layer) { return Covers(layer); });
}

bool Estimator::Covers(const net::Layer& layer) const { return impl_->Covers(layer); }

double Estimator::overhead_us() const { return impl_->overhead_us; }

Estimate Estimator::Layer(const net::Layer& layer) const {
  const LayerKey key = KeyOf(layer);
  return impl_->layers_known.Get(key, [&] { return impl_->Compute(layer, key); });
}

// A layer that occurs ten times is ten times as wrong as once; different layers err independently
// of each other, but for what the error band of whole networks shows.
NetworkEstimate Estimator::Network(const net::Network& network) const {
  NetworkEstimate result;
  result.latency_us = impl_->overhead_us;
  std::map<LayerKey, double> sigmas;
  for (const net::Layer& layer : network.layers) {
    const Estimate& estimate = result.layers.emplace_back(Layer(layer));
    result.latency_us += estimate.latency_us;
    sigmas[KeyOf(layer)] += estimate.sigma_us;
    if (!estimate.measured) ++result.estimated_layers;
  }
  double variance = std::pow(impl_->network_deviation * result.latency_us, 2);
  for (const auto& [key, sigma_us] : sigmas) variance += sigma_us * sigma_us;
  result.sigma_us = std::sqrt(variance);
  return result;
}

}  // namespace lathe::latency
