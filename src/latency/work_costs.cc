#include "latency/work_costs.h"

#include <algorithm>
#include <cmath>

namespace lathe::latency {

// Coordinate descent on the normal equations.
Eigen::VectorXd FitWorkCosts(const Eigen::MatrixXd& terms, const Eigen::VectorXd& latency) {
  constexpr int kSweeps = 300;
  constexpr double kTiny = 1e-12;
  const Eigen::MatrixXd relative = latency.cwiseInverse().asDiagonal() * terms;
  const Eigen::VectorXd scale = relative.colwise().norm().transpose().cwiseMax(kTiny);
  const Eigen::MatrixXd scaled = relative * scale.cwiseInverse().asDiagonal();
  const Eigen::MatrixXd normal = scaled.transpose() * scaled;
  const Eigen::VectorXd right = scaled.colwise().sum();
  Eigen::VectorXd solution = Eigen::VectorXd::Zero(scale.size());
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (Eigen::Index i = 0; i < solution.size(); ++i) {
      const double gradient = normal.row(i).dot(solution) - right[i];
      solution[i] = std::max(0.0, solution[i] - gradient / std::max(normal(i, i), kTiny));
    }
  }
  return solution.cwiseQuotient(scale);
}

double Waste(int count, int tile) {
  const int padded = (count + tile - 1) / tile * tile;
  return std::log(static_cast<double>(padded) / std::max(count, 1));
}

}  // namespace lathe::latency
