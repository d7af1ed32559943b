// The few dense operations that asks spend their time in, compiled for several instruction sets;
// the best that this processor has is chosen at run time. One thread; column-major; the same
// operands give the same bits on the same machine.
#pragma once

#include <Eigen/Core>

namespace lathe::search {

using MatrixRef = Eigen::Ref<Eigen::MatrixXd, 0, Eigen::OuterStride<>>;
using ConstMatrixRef = Eigen::Ref<const Eigen::MatrixXd, 0, Eigen::OuterStride<>>;

// c = alpha a b, or c += alpha a b, with a or b transposed on request.
struct ProductOptions {
  bool transpose_a = false, transpose_b = false;
  double alpha = 1;
  bool add = false;
};
void MultiplyInto(const ConstMatrixRef& a, const ConstMatrixRef& b, const ProductOptions& options,
                  MatrixRef c);
Eigen::MatrixXd Multiply(const ConstMatrixRef& a, const ConstMatrixRef& b,
                         const ProductOptions& options = {});

// L^-1 b in place, or L^-T b, of a lower triangular L.
void SolveLowerInPlace(const ConstMatrixRef& lower, MatrixRef b);
void SolveLowerTransposedInPlace(const ConstMatrixRef& lower, MatrixRef b);

// b = lower b, of a lower triangular matrix (what is above its diagonal must be zero).
void MultiplyLowerInPlace(const ConstMatrixRef& lower, MatrixRef b);

// c += a a^T, where c is symmetric.
void AddSquareInto(const ConstMatrixRef& a, MatrixRef c);

// Of a lower triangular matrix; products with it are faster than solving, where there are many.
Eigen::MatrixXd InverseOfLower(const ConstMatrixRef& lower);

// Replaces the lower triangle by the Cholesky factor. False: not positive definite.
bool CholeskyInPlace(MatrixRef a);

// signal * (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r), in place, from squared scaled distances
// (negative ones, by rounding, count as zero). Where `slope` is not null it gets the derivative by
// the squared distance, times -2: signal * 5/3 (1 + sqrt(5) r) exp(-sqrt(5) r).
void Matern52InPlace(Eigen::MatrixXd& squared_distances, double signal,
                     Eigen::MatrixXd* slope = nullptr);

// Squared distances between the rows of a and those of b: rows of a x rows of b.
class DistancesFrom {
 public:
  explicit DistancesFrom(const ConstMatrixRef& a);
  Eigen::MatrixXd To(const ConstMatrixRef& b) const;

 private:
  Eigen::MatrixXd left_;
};
inline Eigen::MatrixXd SquaredDistances(const ConstMatrixRef& a, const ConstMatrixRef& b) {
  return DistancesFrom(a).To(b);
}

// "avx512", "avx2" or "generic".
const char* LinalgName();

}  // namespace lathe::search
