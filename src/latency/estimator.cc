#include "latency/estimator.h"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>

#include "base/error.h"
#include "latency/features.h"
#include "latency/regression.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

using WorkCosts = Eigen::Matrix<double, kWorkTerms, 1>;

constexpr double kSpreadToDeviation = 1 / 2.563;  // p90 - p10 of a normal distribution
constexpr double kSmallestSpread = 0.01;

// Non-negative costs per unit of work with the smallest relative errors, by coordinate descent: a
// first guess of latency that stays sensible far from all measurements.
WorkCosts FitWorkCosts(const Lut& lut) {
  Eigen::Matrix<double, Eigen::Dynamic, kWorkTerms> terms(
      static_cast<Eigen::Index>(lut.entries.size()), kWorkTerms);
  Eigen::Index row = 0;
  for (const auto& [key, entry] : lut.entries) {
    terms.row(row++) = WorkTerms(WorkOf(entry.layer)) / entry.latency_us;
  }
  const WorkCosts scale = terms.colwise().norm().cwiseMax(1e-12);
  const Eigen::MatrixXd scaled = terms * scale.cwiseInverse().asDiagonal();
  const Eigen::MatrixXd normal = scaled.transpose() * scaled;
  const Eigen::VectorXd right = scaled.colwise().sum();
  WorkCosts solution = WorkCosts::Zero();
  for (int sweep = 0; sweep < 300; ++sweep) {
    for (int i = 0; i < kWorkTerms; ++i) {
      const double gradient = normal.row(i).dot(solution) - right[i];
      solution[i] = std::max(0.0, solution[i] - gradient / std::max(normal(i, i), 1e-12));
    }
  }
  return solution.cwiseQuotient(scale);
}

}  // namespace

struct Estimator::Impl {
  explicit Impl(const Lut& lut);

  Estimate Compute(const net::Layer& layer) const;
  double FirstGuess(const Work& work) const { return std::max(costs.dot(WorkTerms(work)), 1e-3); }
  void FitModel(net::Op op, const std::vector<const LutEntry*>& entries);

  WorkCosts costs;
  std::map<net::Op, Regression> models;  // of log(latency / first guess)
  double overhead_us = 0;
  double noise_floor = 0;

  // Stage 1 asks for the same few thousand layers millions of times.
  struct Shard {
    mutable std::shared_mutex mutex;
    mutable std::unordered_map<LayerKey, Estimate> known;
  };
  std::array<Shard, 16> shards;
};

Estimator::Impl::Impl(const Lut& lut) : overhead_us(lut.overhead_us), noise_floor(lut.noise_floor) {
  if (lut.entries.empty()) {
    throw Error(ErrorKind::kInput,
                "the LUT has no entries: measure some layers first with `lathe lut build`");
  }
  costs = FitWorkCosts(lut);
  std::map<net::Op, std::vector<const LutEntry*>> by_op;
  std::vector<double> spreads;
  for (const auto& [key, entry] : lut.entries) {
    by_op[entry.layer.op].push_back(&entry);
    if (entry.samples > 1) spreads.push_back(entry.spread);
  }
  for (const auto& [op, entries] : by_op) FitModel(op, entries);

  // Few samples say little about their own spread, so it is at least the usual one.
  const double usual = std::max(spreads.empty() ? 0.05 : Median(spreads), kSmallestSpread);
  for (const auto& [key, entry] : lut.entries) {
    const double deviation =
        kSpreadToDeviation * std::max(entry.spread, usual) / std::sqrt(std::max(entry.samples, 1));
    shards[std::hash<LayerKey>()(key) % shards.size()].known[key] = {
        .latency_us = entry.latency_us, .sigma_us = deviation * entry.latency_us, .measured = true};
  }
}

void Estimator::Impl::FitModel(net::Op op, const std::vector<const LutEntry*>& entries) {
  const auto count = static_cast<Eigen::Index>(entries.size());
  Eigen::MatrixXd features;
  Eigen::VectorXd targets(count), noise(count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const LutEntry& entry = *entries[i];
    const Work work = WorkOf(entry.layer);
    const Eigen::VectorXd row = Features(entry.layer, work);
    if (i == 0) features.resize(count, row.size());
    features.row(i) = row;
    targets[i] = std::log(entry.latency_us / FirstGuess(work));
    noise[i] = 1.0 / std::max(entry.samples, 1);
  }
  models.emplace(op, Regression(features, targets, noise / noise.mean()));
}

Estimate Estimator::Impl::Compute(const net::Layer& layer) const {
  const auto model = models.find(layer.op);
  if (model == models.end()) {
    throw Error(ErrorKind::kInput,
                "the LUT has no measured layer of operation '{}', so '{}' cannot be estimated: "
                "extend it with `lathe "
                "lut build` on a space that has this operation",
                net::Name(layer.op), KeyOf(layer));
  }
  const Work work = WorkOf(layer);
  const Regression::Prediction prediction = model->second.Predict(Features(layer, work));
  const double latency_us = FirstGuess(work) * std::exp(prediction.mean);
  return {.latency_us = latency_us, .sigma_us = prediction.sigma * latency_us, .measured = false};
}

Estimator::Estimator(const Lut& lut) : impl_(std::make_unique<Impl>(lut)) {}
Estimator::~Estimator() = default;

bool Estimator::Covers(const net::Network& network) const {
  return std::ranges::all_of(network.layers,
                             [this](const net::Layer& layer) { return Covers(layer); });
}

bool Estimator::Covers(const net::Layer& layer) const { return impl_->models.contains(layer.op); }

double Estimator::overhead_us() const { return impl_->overhead_us; }

Estimate Estimator::Layer(const net::Layer& layer) const {
  const LayerKey key = KeyOf(layer);
  const Impl::Shard& shard = impl_->shards[std::hash<LayerKey>()(key) % impl_->shards.size()];
  {
    const std::shared_lock lock(shard.mutex);
    if (const auto found = shard.known.find(key); found != shard.known.end()) return found->second;
  }
  const Estimate estimate = impl_->Compute(layer);
  const std::unique_lock lock(shard.mutex);
  return shard.known.emplace(key, estimate).first->second;
}

NetworkEstimate Estimator::Network(const net::Network& network) const {
  NetworkEstimate result;
  result.latency_us = impl_->overhead_us;
  double variance = 0;
  for (const net::Layer& layer : network.layers) {
    const Estimate& estimate = result.layers.emplace_back(Layer(layer));
    result.latency_us += estimate.latency_us;
    variance += estimate.sigma_us * estimate.sigma_us;
    if (!estimate.measured) ++result.estimated_layers;
  }
  // The machine's noise is common to all layers, so it does not average out.
  const double common = kSpreadToDeviation * impl_->noise_floor * result.latency_us;
  result.sigma_us = std::sqrt(variance + common * common);
  return result;
}

}  // namespace lathe::latency
