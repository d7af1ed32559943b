#include "latency/measurements.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "latency/estimator.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

constexpr double kTotalNoise = 0.015;   // relative, of one end-to-end timing beside the drift
constexpr double kSpreadToNoise = 0.2;  // where the runs spread widely, their median is worth less
constexpr double kSmallestUs = 0.02;    // a part faster than the profiler's clock
constexpr double kLeastOfProfiled = 0.2;  // of what the profiler shows is a part's own
constexpr double kMostSlowness = 8;  // times as slow or fast as usual: what no machine is for long
constexpr int kMostPriorSamples = 9;
constexpr double kDriftSeconds = 6;  // the machine's speed is taken as constant for about so long

// Samples with the median and the (p90 - p10) of an entry whose single samples are gone.
template <typename Entry>
void AppendPrior(const Entry& entry, std::vector<double>& samples) {
  const int count = std::clamp(entry.samples, 1, kMostPriorSamples);
  for (int i = 0; i < count; ++i) {
    const double quantile = (i + 0.5) / count;
    samples.push_back(entry.latency_us * std::max(1 + entry.spread * (quantile - 0.5) / 0.8, 0.1));
  }
}

// Adds the samples of one key to what an earlier session said of it.
template <typename Entry>
void Merge(std::vector<double> samples, Entry& entry) {
  const auto fresh = static_cast<int>(samples.size());
  if (entry.samples > 0) AppendPrior(entry, samples);
  entry.latency_us = Median(samples);
  entry.spread = RelativeSpread(samples);
  entry.samples += fresh;
}

// Of the least-squares line.
double Slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<Eigen::Index>(x.size());
  const Eigen::Map<const Eigen::ArrayXd> xs(x.data(), n), ys(y.data(), n);
  const double spread = (xs - xs.mean()).square().sum();
  return spread > 0 ? ((xs - xs.mean()) * (ys - ys.mean())).sum() / spread : 0;
}

}  // namespace

double Measurements::Calibration::operator()(double us, double parts) const {
  return std::max({scale * us + per_part_us * parts, kLeastOfProfiled * scale * us, kSmallestUs});
}

template <typename What>
int Measurements::Keys<What>::IndexOf(const What& what) {
  const auto [found, fresh] = index_.try_emplace(KeyOf(what), static_cast<int>(list.size()));
  if (fresh) list.push_back({.text = found->first, .what = what});
  return found->second;
}

Measurements::Measurements(Lut prior) : prior_(std::move(prior)) {}

void Measurements::AddParts(const net::Layer& layer, const std::vector<double>& node_us, Row& row) {
  const std::vector<Part> parts = PartsOf(layer);
  std::vector<double> us(parts.size());
  for (size_t i = 0; i < node_us.size(); ++i) us[std::min(i, us.size() - 1)] += node_us[i];
  // A part without time was fused into another, whose time then is not its own.
  if (std::ranges::find(us, 0.0) != us.end()) return;
  for (size_t i = 0; i < parts.size(); ++i) {
    row.parts.push_back({parts_.IndexOf(parts[i]), us[i], row.layers.back().key});
  }
}

void Measurements::Add(const Measurement& measurement) {
  Row row{.seconds = measurement.seconds,
          .total_us = measurement.total_us,
          .noise = std::max(kTotalNoise, kSpreadToNoise * measurement.spread),
          .layers = {},
          .parts = {}};
  for (size_t i = 0; i < measurement.layers.size(); ++i) {
    if (!(measurement.layer_us[i] > 0)) continue;
    const net::Layer& layer = measurement.layers[i];
    const int key = layers_.IndexOf(layer);
    row.layers.push_back({key, measurement.layer_us[i], key});
    AddParts(layer, measurement.node_us[i], row);
  }
  for (size_t k = parts_in_.size(); k < layers_.list.size(); ++k) {
    parts_in_.push_back(static_cast<double>(PartsOf(layers_.list[k].what).size()));
  }
  if (!row.layers.empty()) rows_.push_back(std::move(row));
}

// Least squares on relative errors, with Huber weights against disturbed networks. Weak priors
// (scale near 1, no cost per part) decide where the networks at hand are too alike to tell the
// terms apart.
Measurements::Calibration Measurements::Calibrate(const std::vector<double>& speed) const {
  std::vector<Eigen::Vector3d> terms_of;
  std::vector<double> totals, noises;
  for (size_t r = 0; r < rows_.size(); ++r) {
    if (!(rows_[r].total_us > 0)) continue;
    const double total = rows_[r].total_us * speed[r];
    double profiled = 0, parts = 0;
    for (const auto& [key, us, layer] : rows_[r].layers) {
      profiled += us * speed[r];
      parts += parts_in_[key];
    }
    terms_of.emplace_back(profiled / total, parts / total, 1 / total);
    totals.push_back(total);
    noises.push_back(rows_[r].noise);
  }
  const double known_us = prior_.overhead_us;
  if (totals.empty()) return {.overhead_us = known_us};
  const Eigen::Map<const Eigen::Matrix3Xd> columns(terms_of.front().data(), 3,
                                                   static_cast<Eigen::Index>(terms_of.size()));
  const Eigen::MatrixX3d terms = columns.transpose();
  const Eigen::Map<const Eigen::ArrayXd> noise(noises.data(), terms.rows());
  const Eigen::ArrayXd trust = (kTotalNoise / noise).square();
  Eigen::VectorXd weight = trust;
  const double typical = Median(totals);
  const Eigen::Vector3d mean(1, 0, known_us);
  const Eigen::Vector3d deviation(0.3, 0.02 * typical,
                                  known_us > 0 ? 0.2 * known_us : 0.5 * typical);
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
          .per_part_us = solution[1],
          .overhead_us = std::max(solution[2], 0.0)};
}

void Measurements::Add(const ReferenceTime& time) { reference_.push_back(time); }

std::vector<double> Measurements::Times() const {
  std::vector<double> seconds;
  for (const Row& row : rows_) seconds.push_back(row.seconds);
  return seconds;
}

// How much longer each row took than the table says, as a logarithm.
std::vector<double> Measurements::Slowness(const Lut& lut, const Calibration& calibration) const {
  const Estimator estimator(lut);
  std::vector<double> slowness;
  for (const Row& row : rows_) {
    double measured = 0, expected = 0;
    for (const auto& [key, us, layer] : row.layers) {
      measured += calibration(us, parts_in_[key]);
      expected += estimator.Layer(layers_.list[key].what).latency_us;
    }
    slowness.push_back(std::log(measured / expected));
  }
  return slowness;
}

// What to multiply each row by so that the machine seems steady. Keys repeat, so every network is a
// reference for the others: where several in a row took longer than the table says, the machine was
// slow. This explains more of the drift than the reference network does, whose own fluctuations can
// be larger than those of other networks; so that one counts as much as the others follow it
// (docs/latency.md).
std::vector<double> Measurements::Speeds(const std::vector<double>& slowness) const {
  const std::vector<double> at = Times();
  const std::vector<double> reference = ReferenceSlowness(reference_, at);
  const double share = std::clamp(Slope(reference, slowness), 0.0, 1.0);
  std::vector<double> rest;
  for (size_t r = 0; r < rows_.size(); ++r) rest.push_back(slowness[r] - share * reference[r]);
  const std::vector<double> smooth = Smooth(at, rest, at, SmoothingWidth(at, kDriftSeconds));
  std::vector<double> total;
  for (size_t r = 0; r < rows_.size(); ++r) total.push_back(smooth[r] + share * reference[r]);
  // A first table is at the speed that the machine had most of the time, a continued one stays at
  // its own.
  const double middle = prior_.entries.empty() ? Median(total) : 0;
  std::vector<double> speeds;
  for (const double value : total) speeds.push_back(std::exp(middle - value));
  return speeds;
}

Lut Measurements::Tabulate(const std::vector<double>& speed, const Calibration& calibration,
                           const std::vector<bool>& left_out) const {
  const auto skipped = [&](int layer) {
    return !left_out.empty() && left_out[static_cast<size_t>(layer)];
  };
  std::vector<std::vector<double>> layers(layers_.list.size()), parts(parts_.list.size());
  for (size_t r = 0; r < rows_.size(); ++r) {
    for (const auto& [key, us, layer] : rows_[r].layers) {
      if (!skipped(layer)) layers[key].push_back(calibration(us * speed[r], parts_in_[key]));
    }
    for (const auto& [key, us, layer] : rows_[r].parts) {
      if (!skipped(layer)) parts[key].push_back(calibration(us * speed[r], 1));
    }
  }
  Lut lut = prior_;
  for (size_t k = 0; k < layers.size(); ++k) {
    if (layers[k].empty()) continue;
    LutEntry& entry = lut.entries[layers_.list[k].text];
    entry.layer = layers_.list[k].what;
    Merge(std::move(layers[k]), entry);
  }
  for (size_t k = 0; k < parts.size(); ++k) {
    if (parts[k].empty()) continue;
    PartEntry& entry = lut.parts[parts_.list[k].text];
    entry.part = parts_.list[k].what;
    Merge(std::move(parts[k]), entry);
  }
  lut.overhead_us = calibration.overhead_us;
  return lut;
}

Measurements::Solution Measurements::SolveAll() const {
  // A table of samples that drifted has some of the drift in it, so each round finds a part of what
  // the last one left: it takes several, and steps longer than what was found.
  constexpr int kRounds = 6;
  constexpr double kStep = 1.8;
  Solution solution;
  for (const double slowness : ReferenceSlowness(reference_, Times())) {
    solution.speed.push_back(std::exp(-slowness));  // until the others are heard
  }
  for (int round = 0;; ++round) {
    solution.calibration = Calibrate(solution.speed);
    solution.lut = Tabulate(solution.speed, solution.calibration);
    if (round == kRounds) return solution;
    const std::vector<double> found = Speeds(Slowness(solution.lut, solution.calibration));
    for (size_t r = 0; r < found.size(); ++r) {
      const double step = std::pow(found[r] / solution.speed[r], kStep);
      solution.speed[r] = std::clamp(solution.speed[r] * step, 1 / kMostSlowness, kMostSlowness);
    }
  }
}

Lut Measurements::Solve() const { return rows_.empty() ? prior_ : SolveAll().lut; }

Lut Measurements::SolveAndCheckKeys(uint64_t seed) const {
  if (rows_.empty()) return prior_;
  Solution solution = SolveAll();
  if (const std::optional<KeyBand> band = CheckKeys(solution, seed)) solution.lut.key_band = band;
  return std::move(solution.lut);
}

std::optional<KeyBand> Measurements::CheckKeys(const Solution& solution, uint64_t seed) const {
  constexpr uint64_t kOneIn = 10;
  constexpr size_t kFewest = 50;
  if (layers_.list.size() < kFewest) return {};
  std::vector<bool> left_out;
  for (const Key<net::Layer>& key : layers_.list) {
    left_out.push_back(SubSeed(seed, key.text) % kOneIn == 0);
  }
  const Estimator estimator(Tabulate(solution.speed, solution.calibration, left_out));
  std::vector<double> errors;
  for (size_t k = 0; k < left_out.size(); ++k) {
    const net::Layer& layer = layers_.list[k].what;
    if (!left_out[k] || prior_.entries.contains(layers_.list[k].text) || !estimator.Covers(layer)) {
      continue;
    }
    const double measured_us = solution.lut.entries.at(layers_.list[k].text).latency_us;
    errors.push_back(std::abs(estimator.Layer(layer).latency_us / measured_us - 1));
  }
  if (errors.empty()) return {};
  return KeyBand{.median = Median(errors),
                 .p90 = Quantile(errors, 0.9),
                 .keys = static_cast<int>(errors.size())};
}

}  // namespace lathe::latency
