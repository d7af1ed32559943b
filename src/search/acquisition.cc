#include "search/acquisition.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>

namespace lathe::search {
namespace {

const double kLogRootTwoPi = 0.5 * std::log(2.0 * std::numbers::pi);

double Density(double z) { return std::exp(-0.5 * z * z - kLogRootTwoPi); }
double Distribution(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

}  // namespace

double LogImprovement(double z) {
  if (z > -1) return std::log(Density(z) + z * Distribution(z));
  if (z > -25) {
    // Phi(z) / phi(z) = sqrt(pi / 2) erfcx(-z / sqrt(2)), both factors finite here.
    const double x = -z / std::numbers::sqrt2;
    const double mills = std::sqrt(std::numbers::pi / 2) * std::exp(x * x) * std::erfc(x);
    return -0.5 * z * z - kLogRootTwoPi + std::log1p(z * mills);
  }
  const double inverse = 1 / (z * z);  // asymptotic series
  return -0.5 * z * z - kLogRootTwoPi + std::log(inverse) +
         std::log1p(inverse * (-3 + inverse * (15 - inverse * 105)));
}

double LogExpectedImprovement(double mean, double deviation, double best) {
  if (deviation > 0) return std::log(deviation) + LogImprovement((best - mean) / deviation);
  return mean < best ? std::log(best - mean) : -std::numeric_limits<double>::infinity();
}

double LogSumExp(std::span<const double> logs) {
  if (logs.empty()) return -std::numeric_limits<double>::infinity();
  const double largest = *std::ranges::max_element(logs);
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const double log : logs) sum += std::exp(log - largest);
  return largest + std::log(sum);
}

Staircase::Staircase(const std::vector<Point>& points, Point worst)
    : stairs_{{-std::numeric_limits<double>::infinity(), worst.value}}, worst_cost_(worst.cost) {
  for (const Point& point : points) Add(point);
}

void Staircase::Add(const Point& point) {
  const auto above = std::ranges::upper_bound(stairs_, point.cost, {}, &Point::cost);
  if (point.cost >= worst_cost_ || point.value >= std::prev(above)->value) return;
  auto first = above;  // of the stairs that the point dominates
  if (std::prev(above)->cost == point.cost) --first;
  const auto last = std::find_if(first, stairs_.end(),
                                 [&](const Point& stair) { return stair.value < point.value; });
  stairs_.insert(stairs_.erase(first, last), point);
}

double Staircase::Hypervolume() const {
  double sum = 0;
  for (size_t i = 1; i < stairs_.size(); ++i) {
    const double end = i + 1 < stairs_.size() ? stairs_[i + 1].cost : worst_cost_;
    sum += (end - stairs_[i].cost) * (stairs_[0].value - stairs_[i].value);
  }
  return sum;
}

double Staircase::LogExpectedImprovement(double cost, double mean, double deviation) const {
  std::vector<double> logs;
  for (size_t i = 0; i < stairs_.size(); ++i) {
    const double end = i + 1 < stairs_.size() ? stairs_[i + 1].cost : worst_cost_;
    const double width = end - std::max(cost, stairs_[i].cost);
    if (width > 0) {
      logs.push_back(std::log(width) +
                     search::LogExpectedImprovement(mean, deviation, stairs_[i].value));
    }
  }
  return LogSumExp(logs);
}

}  // namespace lathe::search
