#include "latency/calibration.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/csv.h"
#include "base/error.h"
#include "base/file.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

constexpr double kShortestUs = 1;  // of any kernel
// Standard deviations of the priors, and of a network's relative error.
constexpr double kScaleDeviation = 0.25, kLaunchDeviation = 2, kConstantDeviation = 20;
constexpr double kModelError = 0.08;

double Sum(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Comments become empty lines, so that line numbers stay true.
std::string WithoutComments(std::string text) {
  bool comment = false, line_start = true;
  for (char& c : text) {
    if (line_start) comment = c == '#';
    line_start = c == '\n';
    if (comment && !line_start) c = ' ';
  }
  return text;
}

}  // namespace

double Calibration::InNetwork(double alone_us) const {
  return std::max(kShortestUs, scale * alone_us - launch_us);
}

double Calibration::InNetwork(std::span<const double> alone_us) const {
  double sum = constant_us;
  for (const double part : alone_us) sum += InNetwork(part);
  return sum;
}

std::vector<KnownNetwork> ReadKnownNetworks(const std::filesystem::path& path,
                                            net::Network (*load)(const std::string&)) {
  const Csv csv = Csv::Parse(WithoutComments(ReadFile(path)), path.string());
  const size_t names = csv.Column("network"), latencies = csv.Column("latency_ms");
  std::vector<KnownNetwork> networks;
  std::set<std::string> seen;
  for (size_t row = 0; row < csv.rows.size(); ++row) {
    const auto fail = [&](const std::string& message) {
      return Error(ErrorKind::kInput, "{}:{}: {}", csv.name, csv.lines[row], message);
    };
    const std::string& name = csv.rows[row][names];
    const std::string& text = csv.rows[row][latencies];
    const std::optional<double> ms = ParseNumber(text);
    if (!ms || !std::isfinite(*ms) || *ms <= 0)
      throw fail(fmt::format("latency_ms of '{}' is '{}', not milliseconds above 0", name, text));
    if (!seen.insert(name).second) throw fail(fmt::format("'{}' is there twice", name));
    try {
      networks.push_back({.name = name, .network = load(name), .latency_us = 1000 * *ms});
    } catch (const Error& error) {
      throw fail(error.what());
    }
  }
  return networks;
}

Calibration Calibrate(std::span<const CalibrationPoint> points) {
  // Linear in scale, launch and constant, as no part is so short that it counts as kShortestUs.
  const Calibration prior;
  const Eigen::Vector3d center(prior.scale, prior.launch_us, prior.constant_us);
  const Eigen::Vector3d deviation(kScaleDeviation, kLaunchDeviation, kConstantDeviation);
  Eigen::Matrix3d precision = deviation.cwiseAbs2().cwiseInverse().asDiagonal();
  Eigen::Vector3d pull = Eigen::Vector3d::Zero();
  for (const CalibrationPoint& point : points) {
    const double error_us = kModelError * point.latency_us;
    const Eigen::Vector3d terms =
        Eigen::Vector3d(Sum(point.alone_us), -static_cast<double>(point.alone_us.size()), 1) /
        error_us;
    precision += terms * terms.transpose();
    pull += terms * (point.latency_us / error_us - terms.dot(center));
  }
  const Eigen::Vector3d best = center + precision.ldlt().solve(pull);
  return {
      .scale = best[0], .launch_us = std::max(best[1], 0.0), .constant_us = std::max(best[2], 0.0)};
}

CalibrationReport CheckCalibration(std::span<const CalibrationPoint> points) {
  CalibrationReport report{.calibration = Calibrate(points)};
  for (size_t i = 0; i < points.size(); ++i) {
    const CalibrationPoint& point = points[i];
    std::vector<CalibrationPoint> others(points.begin(), points.end());
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    report.rows.push_back({.known_us = point.latency_us,
                           .alone_us = Sum(point.alone_us),
                           .before_us = Calibration{}.InNetwork(point.alone_us),
                           .after_us = report.calibration.InNetwork(point.alone_us),
                           .left_out_us = Calibrate(others).InNetwork(point.alone_us)});
  }
  const auto compare = [&report](double CalibrationRow::*column) {
    std::vector<double> predicted, known;
    for (const CalibrationRow& row : report.rows) {
      predicted.push_back(row.*column);
      known.push_back(row.known_us);
    }
    return Compare(predicted, known);
  };
  report.alone = compare(&CalibrationRow::alone_us);
  report.before = compare(&CalibrationRow::before_us);
  report.after = compare(&CalibrationRow::after_us);
  report.left_out = compare(&CalibrationRow::left_out_us);
  for (const CalibrationRow& a : report.rows) {
    for (const CalibrationRow& b : report.rows)
      report.wrong_pairs += a.known_us < b.known_us && a.left_out_us >= b.left_out_us;
  }
  return report;
}

}  // namespace lathe::latency
