#include "search/linalg.h"

#include <array>

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
  eigen_assert((options.transpose_a ? a.cols() : a.rows()) == c.rows());
  eigen_assert((options.transpose_b ? b.rows() : b.cols()) == c.cols());
  Chosen().kernels.multiply(c.rows(), c.cols(), options.transpose_a ? a.rows() : a.cols(), a.data(),
                            a.outerStride(), options.transpose_a, b.data(), b.outerStride(),
                            options.transpose_b, options.alpha, options.beta, c.data(),
                            c.outerStride());
}

Eigen::MatrixXd Multiply(const ConstMatrixRef& a, const ConstMatrixRef& b,
                         const ProductOptions& options) {
  Eigen::MatrixXd c(options.transpose_a ? a.cols() : a.rows(),
                    options.transpose_b ? b.rows() : b.cols());
  MultiplyInto(a, b, options, c);
  return c;
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
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(lower.rows(), lower.cols());
  SolveLowerInPlace(lower, inverse);
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

Eigen::MatrixXd SquaredDistances(const ConstMatrixRef& a, const ConstMatrixRef& b) {
  Eigen::MatrixXd squared = Multiply(a, b, {.transpose_b = true, .alpha = -2});
  squared.colwise() += a.rowwise().squaredNorm();
  squared.rowwise() += b.rowwise().squaredNorm().transpose();
  return squared;
}

const char* LinalgName() { return Chosen().name; }

}  // namespace lathe::search
