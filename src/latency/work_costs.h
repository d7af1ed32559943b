// A first guess of latency that stays sensible far from all measurements: so much per unit of each
// kind of work.
#pragma once

#include <Eigen/Dense>

namespace lathe::latency {

// Non-negative costs per unit of work with the smallest relative errors. `terms` holds a row of
// work per measurement, all non-negative; `latency` is positive.
Eigen::VectorXd FitWorkCosts(const Eigen::MatrixXd& terms, const Eigen::VectorXd& latency);

}  // namespace lathe::latency
