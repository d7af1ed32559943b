// The operations of linalg.h on plain arrays, once per instruction set. Columns are `..._stride`
// apart.
#pragma once

#include <cstddef>

namespace lathe::search {

constexpr std::ptrdiff_t kMostLower =
    256;  // rows of b: a tile of it stays in the first-level cache

struct LinalgKernels {
  // c = alpha a b, or c += alpha a b; b, or its transpose where it is transposed: inner x columns.
  void (*multiply)(std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t inner,
                   const double* a, std::ptrdiff_t a_stride, const double* b,
                   std::ptrdiff_t b_stride, bool transpose_b, double alpha, bool add, double* c,
                   std::ptrdiff_t c_stride);
  // b = lower b; size up to kMostLower.
  void (*multiply_lower)(std::ptrdiff_t size, const double* lower, std::ptrdiff_t lower_stride,
                         std::ptrdiff_t columns, double* b, std::ptrdiff_t b_stride);
  void (*solve_lower)(std::ptrdiff_t size, const double* lower, std::ptrdiff_t lower_stride,
                      bool transposed, std::ptrdiff_t columns, double* b, std::ptrdiff_t b_stride);
  bool (*cholesky)(std::ptrdiff_t size, double* a, std::ptrdiff_t stride);
  void (*matern52)(std::ptrdiff_t count, double* values, double signal,
                   double* slope);  // null: not wanted
};

extern const LinalgKernels kGenericKernels, kAvx2Kernels, kAvx512Kernels;

}  // namespace lathe::search
