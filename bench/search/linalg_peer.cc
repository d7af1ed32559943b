// Compiled for this machine; in a namespace of its own, so that the linker doesn't mix it with the
// Eigen of the rest.
#define Eigen EigenOfThisMachine
#include "search/linalg_peer.h"

#include <Eigen/Core>

namespace peer {

using Eigen::Map;
using Eigen::MatrixXd;

void MultiplyByTransposed(int rows, int columns, int inner, const double* a, const double* b,
                          double* c) {
  Map<MatrixXd>(c, rows, columns).noalias() =
      Map<const MatrixXd>(a, rows, inner) * Map<const MatrixXd>(b, columns, inner).transpose();
}

void MultiplyLower(int size, int columns, const double* lower, double* b) {
  Map<MatrixXd> target(b, size, columns);
  target = Map<const MatrixXd>(lower, size, size).triangularView<Eigen::Lower>() * target;
}

}  // namespace peer
