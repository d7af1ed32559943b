// Eigen's own products, as fast as it can make them on this machine.
#pragma once

namespace peer {

// c = a b^T: a is rows x inner, b is columns x inner. Column-major, side by side.
void MultiplyByTransposed(int rows, int columns, int inner, const double* a, const double* b,
                          double* c);
// b = lower b: lower is size x size.
void MultiplyLower(int size, int columns, const double* lower, double* b);

}  // namespace peer
