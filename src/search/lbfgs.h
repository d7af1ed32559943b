// Minimises a smooth function by L-BFGS (Nocedal and Wright 2006, algorithm 7.4) with a
// backtracking line search.
#pragma once

#include <Eigen/Core>
#include <functional>

namespace lathe::search {

struct LbfgsOptions {
  int iterations = 60;
  double gradient_tolerance = 1e-3;  // largest component
};

struct LbfgsResult {
  Eigen::VectorXd point;
  double value = 0;
};

// `function` returns the value and fills the gradient. Never returns a point worse than `start`.
LbfgsResult MinimiseLbfgs(
    const std::function<double(const Eigen::VectorXd&, Eigen::VectorXd&)>& function,
    const Eigen::VectorXd& start, const LbfgsOptions& options = {});

}  // namespace lathe::search
