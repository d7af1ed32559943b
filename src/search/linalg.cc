#include "search/linalg.h"

#include <algorithm>

#include "search/linalg_kernels.h"

namespace lathe::search {
namespace {

struct Choice {
  const LinalgKernels& kernels;
  const char* name;
};

Choice Choose() {
#ifdef LATHE_LINALG_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
    return {kAvx512Kernels, "avx512"};
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {kAvx2Kernels, "avx2"};
#endif
  return {kGenericKernels, "generic"};
}

const Choice& Chosen() {
  static const Choice choice = Choose();
  return choice;
}

}  // namespace

void MultiplyInto(const ConstMatrixRef& a, const ConstMatrixRef& b, const ProductOptions& options,
                  MatrixRef c) {
  if (options.transpose_a) {
    ProductOptions others = options;
    others.transpose_a = false;
    MultiplyInto(Eigen::MatrixXd(a.transpose()), b, others, c);
    return;
  }
  eigen_assert(a.rows() == c.rows());
  eigen_assert((options.transpose_b ? b.rows() : b.cols()) == c.cols());
  eigen_assert((options.transpose_b ? b.cols() : b.rows()) == a.cols());
  Chosen().kernels.multiply(c.rows(), c.cols(), a.cols(), a.data(), a.outerStride(), b.data(),
                            b.outerStride(), options.transpose_b, options.alpha, options.add,
                            c.data(), c.outerStride());
}

Eigen::MatrixXd Multiply(const ConstMatrixRef& a, const ConstMatrixRef& b,
                         const ProductOptions& options) {
  Eigen::MatrixXd c(options.transpose_a ? a.cols() : a.rows(),
                    options.transpose_b ? b.rows() : b.cols());
  MultiplyInto(a, b, options, c);
  return c;
}

void MultiplyLowerInPlace(const ConstMatrixRef& lower, MatrixRef b) {
  // From the bottom, since every row is made of those above it.
  for (Eigen::Index end = lower.rows(); end > 0;) {
    const Eigen::Index begin = (end - 1) / kMostLower * kMostLower, rows = end - begin;
    auto target = b.middleRows(begin, rows);
    Chosen().kernels.multiply_lower(rows, lower.block(begin, begin, rows, rows).data(),
                                    lower.outerStride(), b.cols(), target.data(), b.outerStride());
    if (begin > 0) {
      MultiplyInto(lower.block(begin, 0, rows, begin), b.topRows(begin), {.add = true}, target);
    }
    end = begin;
  }
}

void AddSquareInto(const ConstMatrixRef& a, MatrixRef c) {
  constexpr Eigen::Index kBlock = 64;  // columns: what is above the diagonal blocks is mirrored
  for (Eigen::Index begin = 0; begin < c.rows(); begin += kBlock) {
    const Eigen::Index columns = std::min(kBlock, c.rows() - begin), rows = c.rows() - begin;
    MultiplyInto(a.bottomRows(rows), a.middleRows(begin, columns),
                 {.transpose_b = true, .add = true}, c.block(begin, begin, rows, columns));
  }
  c.triangularView<Eigen::StrictlyUpper>() = c.transpose();
}

void SolveLowerInPlace(const ConstMatrixRef& lower, MatrixRef b) {
  Chosen().kernels.solve_lower(lower.rows(), lower.data(), lower.outerStride(), false, b.cols(),
                               b.data(), b.outerStride());
}

void SolveLowerTransposedInPlace(const ConstMatrixRef& lower, MatrixRef b) {
  Chosen().kernels.solve_lower(lower.rows(), lower.data(), lower.outerStride(), true, b.cols(),
                               b.data(), b.outerStride());
}

Eigen::MatrixXd InverseOfLower(const ConstMatrixRef& lower) {
  constexpr Eigen::Index kSmall = 64;
  const Eigen::Index size = lower.rows();
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Zero(size, size);
  if (size <= kSmall) {
    inverse.diagonal().setOnes();
    SolveLowerInPlace(lower, inverse);
    return inverse;
  }
  // [A 0; B C]^-1 = [A^-1 0; -C^-1 B A^-1, C^-1]
  const Eigen::Index above = (size / 2 + kSmall - 1) / kSmall * kSmall, below = size - above;
  auto first = inverse.topLeftCorner(above, above);
  auto last = inverse.bottomRightCorner(below, below);
  first = InverseOfLower(lower.topLeftCorner(above, above));
  last = InverseOfLower(lower.bottomRightCorner(below, below));
  MultiplyInto(last, Multiply(lower.bottomLeftCorner(below, above), first), {.alpha = -1},
               inverse.bottomLeftCorner(below, above));
  return inverse;
}

bool CholeskyInPlace(MatrixRef a) {
  return Chosen().kernels.cholesky(a.rows(), a.data(), a.outerStride());
}

void Matern52InPlace(Eigen::MatrixXd& squared_distances, double signal, Eigen::MatrixXd* slope) {
  if (slope != nullptr) slope->resize(squared_distances.rows(), squared_distances.cols());
  Chosen().kernels.matern52(squared_distances.size(), squared_distances.data(), signal,
                            slope == nullptr ? nullptr : slope->data());
}

// |a - b|^2 as one product: (a, |a|^2, 1) . (-2 b, 1, |b|^2).
DistancesFrom::DistancesFrom(const ConstMatrixRef& a) : left_(a.rows(), a.cols() + 2) {
  left_ << a, a.rowwise().squaredNorm(), Eigen::VectorXd::Ones(a.rows());
}

Eigen::MatrixXd DistancesFrom::To(const ConstMatrixRef& b) const {
  Eigen::MatrixXd right(b.rows(), b.cols() + 2);
  right << -2 * b, Eigen::VectorXd::Ones(b.rows()), b.rowwise().squaredNorm();
  return Multiply(left_, right, {.transpose_b = true});
}

const char* LinalgName() { return Chosen().name; }

}  // namespace lathe::search
