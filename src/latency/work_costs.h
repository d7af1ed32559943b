// What models of latency share: a first guess that stays sensible far from all measurements (so
// much per unit of each kind of work), and what vector lanes and tiles leave unused.
#pragma once

#include <Eigen/Dense>

namespace lathe::latency {

// Non-negative costs per unit of work with the smallest relative errors. `terms` holds a row of
// work per measurement, all non-negative; `latency` is positive.
Eigen::VectorXd FitWorkCosts(const Eigen::MatrixXd& terms, const Eigen::VectorXd& latency);

// log(padded / count): channels or pixels that do not fill the lanes or tiles cost as much as those
// that do.
double Waste(int count, int tile);

}  // namespace lathe::latency
