#include "search/lbfgs.h"

#include <cmath>
#include <deque>
#include <ranges>

namespace lathe::search {
namespace {

struct Pair {
  Eigen::VectorXd step, change;  // of the point and of the gradient
};

// The two-loop recursion: inverse Hessian approximation times -gradient.
Eigen::VectorXd Direction(const std::deque<Pair>& pairs, const Eigen::VectorXd& gradient) {
  Eigen::VectorXd direction = -gradient;
  if (pairs.empty()) return direction / std::max(1.0, gradient.norm());
  std::deque<double> factors;
  for (const Pair& pair : std::views::reverse(pairs)) {
    factors.push_front(pair.step.dot(direction) / pair.step.dot(pair.change));
    direction -= factors.front() * pair.change;
  }
  direction *= pairs.back().step.dot(pairs.back().change) / pairs.back().change.squaredNorm();
  for (size_t i = 0; i < pairs.size(); ++i) {
    const double back = pairs[i].change.dot(direction) / pairs[i].step.dot(pairs[i].change);
    direction += (factors[i] - back) * pairs[i].step;
  }
  return direction;
}

}  // namespace

LbfgsResult MinimiseLbfgs(
    const std::function<double(const Eigen::VectorXd&, Eigen::VectorXd&)>& function,
    const Eigen::VectorXd& start, const LbfgsOptions& options) {
  constexpr size_t kMemory = 10;
  constexpr int kHalvings = 20;
  constexpr double kSufficientDecrease = 1e-4;
  constexpr double kLongestStep = 2.0;  // in one variable: they are logarithms

  LbfgsResult best{.point = start, .value = 0};
  Eigen::VectorXd gradient(start.size());
  best.value = function(best.point, gradient);
  std::deque<Pair> pairs;
  for (int iteration = 0; iteration < options.iterations; ++iteration) {
    if (gradient.cwiseAbs().maxCoeff() < options.gradient_tolerance) break;
    Eigen::VectorXd direction = Direction(pairs, gradient);
    direction *= std::min(1.0, kLongestStep / direction.cwiseAbs().maxCoeff());
    const double slope = gradient.dot(direction);
    Eigen::VectorXd point, next_gradient(start.size());
    double value = 0, length = 1;
    int halvings = 0;
    for (; halvings < kHalvings; ++halvings, length /= 2) {
      point = best.point + length * direction;
      value = function(point, next_gradient);
      if (std::isfinite(value) && value <= best.value + kSufficientDecrease * length * slope) break;
    }
    if (halvings == kHalvings) {
      if (pairs.empty()) break;
      pairs.clear();  // a bad curvature model: once more along the gradient
      continue;
    }
    Pair pair{.step = point - best.point, .change = next_gradient - gradient};
    if (pair.step.dot(pair.change) > 1e-10) pairs.push_back(std::move(pair));
    if (pairs.size() > kMemory) pairs.pop_front();
    best = {.point = std::move(point), .value = value};
    gradient = next_gradient;
  }
  return best;
}

}  // namespace lathe::search
