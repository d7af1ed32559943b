#include "latency/import_conv_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "latency/stats.h"
#include "latency/work_costs.h"

namespace lathe::latency {
namespace {

constexpr Eigen::Index kNeighbours = 20;
constexpr Eigen::Index kFewestPoints = 8;  // of a kind of convolution; a plane has four unknowns
constexpr int kRobustRounds = 2;
constexpr double kSlopePrior = 0.02;  // keeps a plane through points of one size from tilting
// Distances count double along the image: its grid is finer than that of the widths.
constexpr double kImageScale = 2;

// What latency is about a non-negative combination of: launching, multiplying, moving weights,
// moving images.
Eigen::Vector4d Terms(const Part& part) {
  const double images = Values(part.in) + Values(part.out) * (part.add ? 2 : 1);
  return {1, Macs(part), Weights(part), images};
}

int SideOf(const Part& part) { return std::min(part.in.h, part.in.w); }

Part Enlarged(Part part, int side) {
  if (SideOf(part) >= side) return part;
  const auto after = [&part](int pixels) { return (pixels + part.stride - 1) / part.stride; };
  part.in.h = std::max(part.in.h, side);
  part.in.w = std::max(part.in.w, side);
  part.out.h = after(part.in.h);
  part.out.w = after(part.in.w);
  return part;
}

// The points with the smallest distances.
std::vector<Eigen::Index> Nearest(const Eigen::VectorXd& distances) {
  std::vector<Eigen::Index> order(static_cast<size_t>(distances.size()));
  std::iota(order.begin(), order.end(), 0);
  const auto count = static_cast<std::ptrdiff_t>(std::min(kNeighbours, distances.size()));
  std::nth_element(order.begin(), order.begin() + count - 1, order.end(),
                   [&](Eigen::Index a, Eigen::Index b) {
                     return distances[a] != distances[b] ? distances[a] < distances[b] : a < b;
                   });
  order.resize(static_cast<size_t>(count));
  return order;
}

// `y` at a point between the columns of `x`.
double Smoothed(const Eigen::MatrixXd& x, const Eigen::VectorXd& y, const Eigen::VectorXd& at) {
  const Eigen::VectorXd distances = (x.colwise() - at).colwise().squaredNorm().transpose();
  const std::vector<Eigen::Index> nearest = Nearest(distances);
  const auto count = static_cast<Eigen::Index>(nearest.size());
  const double reach = std::sqrt(distances[nearest.back()]) + 1e-9;
  Eigen::MatrixXd terms(count, at.size() + 1);
  Eigen::VectorXd values(count), nearness(count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const Eigen::Index point = nearest[static_cast<size_t>(i)];
    terms.row(i) << 1, (x.col(point) - at).transpose();
    values[i] = y[point];
    nearness[i] = std::pow(1 - std::pow(std::sqrt(distances[point]) / reach, 3), 3) + 1e-6;
  }
  Eigen::VectorXd prior = Eigen::VectorXd::Constant(terms.cols(), kSlopePrior * nearness.sum());
  prior[0] = 0;
  Eigen::VectorXd weights = nearness;
  for (int round = 0;; ++round) {
    Eigen::MatrixXd normal = terms.transpose() * weights.asDiagonal() * terms;
    normal.diagonal() += prior;
    const Eigen::VectorXd plane =
        normal.ldlt().solve(terms.transpose() * (weights.asDiagonal() * values));
    if (round == kRobustRounds) return plane[0];  // the plane is around `at`
    const Eigen::ArrayXd errors = (values - terms * plane).array().abs();
    const double scale = 6 * Median({errors.begin(), errors.end()}) + 1e-3;
    weights = nearness.array() * (1 - (errors / scale).square()).max(0).square() + 1e-9;
  }
}

}  // namespace

ConvTable::Group ConvTable::GroupOf(const Part& part) {
  return {part.depthwise(), part.kernel, part.stride, part.add};
}

Eigen::VectorXd ConvTable::Coordinates(const Part& part) {
  const double image = kImageScale * 0.5 * std::log(double{1} * part.in.h * part.in.w);
  if (part.depthwise()) return Eigen::Vector2d(std::log(part.in.c), image);
  return Eigen::Vector3d(std::log(part.in.c), std::log(part.out.c), image);
}

ConvTable::ConvTable(std::span<const ConvTiming> timings) {
  if (timings.empty()) throw Error(ErrorKind::kInput, "no convolutions were timed");
  std::map<Group, std::vector<const ConvTiming*>> groups;
  std::vector<double> rates;
  shortest_us_ = timings.front().latency_us;
  for (const ConvTiming& timing : timings) {
    groups[GroupOf(timing.part)].push_back(&timing);
    shortest_us_ = std::min(shortest_us_, timing.latency_us);
    const double values = Values(timing.part.in) + Values(timing.part.out) + Weights(timing.part);
    rates.push_back(values / timing.latency_us);
  }
  values_per_us_ = Quantile(rates, 0.99);
  for (const auto& [group, members] : groups) {
    const auto count = static_cast<Eigen::Index>(members.size());
    if (count < kFewestPoints) continue;
    Points& points = groups_[group];
    points.x.resize(Coordinates(members.front()->part).size(), count);
    points.y.resize(count);
    Eigen::MatrixXd terms(count, 4);
    Eigen::VectorXd latency(count);
    points.smallest_image = SideOf(members.front()->part);
    for (Eigen::Index i = 0; i < count; ++i) {
      const auto& [part, latency_us] = *members[static_cast<size_t>(i)];
      points.x.col(i) = Coordinates(part);
      terms.row(i) = Terms(part);
      latency[i] = latency_us;
      points.smallest_image = std::min(points.smallest_image, SideOf(part));
    }
    points.costs = FitWorkCosts(terms, latency);
    points.y = latency.array().log() - (terms * points.costs).array().log();
  }
}

std::optional<double> ConvTable::Predict(const Part& asked) const {
  const auto group = groups_.find(GroupOf(asked));
  if (group == groups_.end()) return {};
  const Points& points = group->second;
  const Part part = Enlarged(asked, points.smallest_image);
  return std::exp(Smoothed(points.x, points.y, Coordinates(part))) * points.costs.dot(Terms(part));
}

InterpolationError ConvTable::HoldOut(std::span<const ConvTiming> timings, double share,
                                      uint64_t seed) {
  Random random(seed);
  std::vector<ConvTiming> kept, held;
  for (const ConvTiming& timing : timings)
    (random.Uniform() < share ? held : kept).push_back(timing);
  const ConvTable table(kept);
  std::vector<double> errors, sizes;
  for (const ConvTiming& timing : held) {
    const std::optional<double> predicted = table.Predict(timing.part);
    if (!predicted) continue;
    errors.push_back(*predicted / timing.latency_us - 1);
    sizes.push_back(std::abs(errors.back()));
  }
  if (errors.empty()) return {};
  return {.median = Median(sizes),
          .p95 = Quantile(sizes, 0.95),
          .bias = Median(errors),
          .count = static_cast<int>(errors.size())};
}

}  // namespace lathe::latency
