#include "latency/measurements.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "latency/features.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

constexpr double kTotalNoise = 0.015;   // relative, of one end-to-end timing beside the drift
constexpr double kSpreadToNoise = 0.2;  // where the runs spread widely, their median is worth less
constexpr double kContextNoise = 0.05;  // relative, of a layer's time from network to network
constexpr double kClockNoiseUs = 0.25;  // per node: profilers count in whole microseconds
constexpr double kSmallestUs = 0.02;    // a layer faster than the profiler's clock
constexpr size_t kMostRows = 1200;      // that Reconcile() solves for at once: it is cubic in them
constexpr int kMostPriorSamples = 9;

// Samples with the median and the (p90 - p10) of an entry whose single samples are gone.
void AppendPrior(const LutEntry& entry, std::vector<double>& samples) {
  const int count = std::clamp(entry.samples, 1, kMostPriorSamples);
  for (int i = 0; i < count; ++i) {
    const double quantile = (i + 0.5) / count;
    samples.push_back(entry.latency_us * std::max(1 + entry.spread * (quantile - 0.5) / 0.8, 0.1));
  }
}

}  // namespace

Measurements::Measurements(Lut prior) : prior_(std::move(prior)) {
  for (const auto& [text, entry] : prior_.entries) IndexOf(entry.layer);
}

int Measurements::IndexOf(const net::Layer& layer) {
  const auto [found, fresh] = index_.try_emplace(KeyOf(layer), static_cast<int>(keys_.size()));
  if (fresh) keys_.push_back({.text = found->first, .layer = layer, .nodes = WorkOf(layer).nodes});
  return found->second;
}

void Measurements::Add(const Measurement& measurement) {
  Row row{.seconds = measurement.seconds,
          .total_us = measurement.total_us,
          .noise = std::max(kTotalNoise, kSpreadToNoise * measurement.spread),
          .layers = {}};
  for (size_t i = 0; i < measurement.layers.size(); ++i) {
    if (std::isnan(measurement.layer_us[i])) continue;
    const int key = IndexOf(measurement.layers[i]);
    row.layers.emplace_back(key, measurement.layer_us[i]);
    ++keys_[key].samples;
  }
  rows_.push_back(std::move(row));
}

// Least squares on relative errors, with Huber weights against disturbed networks. Weak priors
// (scale near 1, no cost per node) decide where the networks at hand are too alike to tell the
// terms apart.
Measurements::Calibration Measurements::Calibrate(const std::vector<double>& speed) const {
  const auto rows = static_cast<Eigen::Index>(rows_.size());
  Eigen::MatrixX3d terms(rows, 3);
  Eigen::ArrayXd noise(rows);
  std::vector<double> totals;
  for (Eigen::Index r = 0; r < rows; ++r) {
    const double total = rows_[r].total_us * speed[r];
    double profiled = 0, nodes = 0;
    for (const auto& [key, us] : rows_[r].layers) {
      profiled += us * speed[r];
      nodes += keys_[key].nodes;
    }
    terms.row(r) << profiled / total, nodes / total, 1 / total;
    totals.push_back(total);
    noise[r] = rows_[r].noise;
  }
  const Eigen::ArrayXd trust = (kTotalNoise / noise).square();
  Eigen::VectorXd weight = trust;
  const double typical = Median(totals);
  const bool known = prior_.overhead_us > 0;
  const Eigen::Vector3d mean(1, 0, prior_.overhead_us);
  const Eigen::Vector3d deviation(0.3, 0.02 * typical,
                                  known ? 0.2 * prior_.overhead_us : 0.5 * typical);
  const Eigen::Vector3d precision = (kTotalNoise / deviation.array()).square();
  Eigen::Vector3d solution = mean;
  for (int round = 0; round < 10; ++round) {
    Eigen::Matrix3d normal = terms.transpose() * weight.asDiagonal() * terms;
    normal.diagonal() += precision;
    solution = normal.ldlt().solve(terms.transpose() * weight + precision.cwiseProduct(mean));
    const Eigen::VectorXd error = (terms * solution).array() - 1;
    weight = trust * (2 * noise / error.array().abs().max(2 * noise));
  }
  return {.scale = std::max(solution[0], 0.1),
          .per_node_us = solution[1],
          .overhead_us = std::max(solution[2], 0.0)};
}

// Layers are normal around what the profiler said, networks around the sum of their layers: the
// posterior mean of the layers moves them so that the sums agree with the wall clock, most where
// the profiler is least sure.
void Measurements::Reconcile(const std::vector<double>& speed, double overhead_us,
                             std::vector<double>& latency_us) const {
  const size_t stride = (rows_.size() + kMostRows - 1) / kMostRows;
  std::vector<std::vector<std::pair<Eigen::Index, double>>> uses(
      keys_.size());  // rows of a key, how often
  std::vector<double> residuals;
  std::vector<double> noise;
  for (size_t r = 0; r < rows_.size(); r += stride) {
    const auto row = static_cast<Eigen::Index>(residuals.size());
    const double total = rows_[r].total_us * speed[r];
    double sum = overhead_us;
    for (const auto& [key, us] : rows_[r].layers) {
      sum += latency_us[key];
      if (uses[key].empty() || uses[key].back().first != row) uses[key].emplace_back(row, 0.0);
      uses[key].back().second += 1;
    }
    residuals.push_back(total - sum);
    noise.push_back(std::pow(rows_[r].noise * total, 2));
  }

  const auto rows = static_cast<Eigen::Index>(residuals.size());
  std::vector<double> variance(keys_.size());
  Eigen::MatrixXd covariance = Eigen::MatrixXd::Zero(rows, rows);
  for (size_t k = 0; k < keys_.size(); ++k) {
    const auto prior = prior_.entries.find(keys_[k].text);
    const int samples =
        keys_[k].samples + (prior == prior_.entries.end() ? 0 : prior->second.samples);
    variance[k] = std::pow(kContextNoise * latency_us[k], 2) / std::max(samples, 1) +
                  std::pow(kClockNoiseUs, 2) * keys_[k].nodes;
    for (const auto& [i, count_i] : uses[k]) {
      for (const auto& [j, count_j] : uses[k]) covariance(i, j) += variance[k] * count_i * count_j;
    }
  }
  const Eigen::Map<const Eigen::VectorXd> residual(residuals.data(), rows);
  for (Eigen::Index r = 0; r < rows; ++r) {
    // A disturbed network counts less the further it is off.
    const double expected = std::sqrt(covariance(r, r) + noise[r]);
    const double outlier = std::max(1.0, std::abs(residual[r]) / (2.5 * expected));
    covariance(r, r) += noise[r] * std::pow(outlier, 4);
  }
  const Eigen::VectorXd shares = covariance.llt().solve(residual);
  for (size_t k = 0; k < keys_.size(); ++k) {
    double change = 0;
    for (const auto& [row, count] : uses[k]) change += variance[k] * count * shares[row];
    latency_us[k] = std::max(latency_us[k] + change, 0.5 * latency_us[k]);
  }
}

Lut Measurements::Solve(const Drift& drift) const {
  Lut lut = prior_;
  if (rows_.empty()) return lut;
  std::vector<double> speed;
  for (const Row& row : rows_) speed.push_back(drift.Scale(row.seconds));
  const Calibration calibration = Calibrate(speed);

  std::vector<std::vector<double>> samples(keys_.size());
  for (size_t r = 0; r < rows_.size(); ++r) {
    for (const auto& [key, us] : rows_[r].layers) {
      const double corrected =
          calibration.scale * us * speed[r] + calibration.per_node_us * keys_[key].nodes;
      samples[key].push_back(std::max(corrected, kSmallestUs));
    }
  }
  std::vector<double> latency_us;
  for (size_t k = 0; k < keys_.size(); ++k) {
    const auto prior = prior_.entries.find(keys_[k].text);
    if (prior != prior_.entries.end()) AppendPrior(prior->second, samples[k]);
    latency_us.push_back(Median(samples[k]));
  }
  Reconcile(speed, calibration.overhead_us, latency_us);

  for (size_t k = 0; k < keys_.size(); ++k) {
    if (keys_[k].samples == 0) continue;  // an earlier session's, and not seen again
    LutEntry& entry = lut.entries[keys_[k].text];
    entry.layer = keys_[k].layer;
    entry.latency_us = latency_us[k];
    entry.spread = RelativeSpread(samples[k]);
    entry.samples += keys_[k].samples;
  }
  std::vector<double> rest, trust;
  for (size_t r = 0; r < rows_.size(); ++r) {
    const double total = rows_[r].total_us * speed[r];
    double sum = 0;
    for (const auto& [key, us] : rows_[r].layers) sum += latency_us[key];
    rest.push_back(total - sum);
    trust.push_back(1 / std::pow(rows_[r].noise * total, 2));
  }
  lut.overhead_us = std::max(WeightedMedian(rest, trust), 0.0);
  lut.noise_floor = drift.Spread();
  return lut;
}

}  // namespace lathe::latency
