#include "search/linalg.h"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "search/linalg_kernels.h"

namespace lathe::search {
namespace {

Eigen::MatrixXd Noise(Eigen::Index rows, Eigen::Index columns, uint64_t seed) {
  Random random(seed);
  Eigen::MatrixXd matrix(rows, columns);
  for (double& value : matrix.reshaped()) value = random.Normal();
  return matrix;
}

TEST(Linalg, MultipliesInAllFourWays) {
  const Eigen::MatrixXd a = Noise(37, 70, 1), b = Noise(70, 41, 2);
  const Eigen::MatrixXd expected = a * b;
  EXPECT_TRUE(Multiply(a, b).isApprox(expected, 1e-13));
  EXPECT_TRUE(Multiply(a.transpose(), b, {.transpose_a = true}).isApprox(expected, 1e-13));
  EXPECT_TRUE(Multiply(a, b.transpose(), {.transpose_b = true}).isApprox(expected, 1e-13));
  EXPECT_TRUE(Multiply(a.transpose(), b.transpose(), {.transpose_a = true, .transpose_b = true})
                  .isApprox(expected, 1e-13));
  Eigen::MatrixXd sum = expected;
  MultiplyInto(a, b, {.alpha = 0.5, .add = true}, sum);
  EXPECT_TRUE(sum.isApprox(1.5 * expected, 1e-13));
}

// Tiles, slices and what is left of them; columns that do not lie side by side.
TEST(Linalg, MultipliesMatricesOfAnyShape) {
  for (const Eigen::Index rows : {1, 7, 24, 61, 256}) {
    for (const Eigen::Index inner : {0, 1, 30, 256, 600}) {
      for (const Eigen::Index columns : {0, 1, 8, 19}) {
        const Eigen::MatrixXd a = Noise(rows + 3, inner, 1), b = Noise(inner + 2, columns + 1, 2);
        const auto left = a.middleRows(1, rows);
        const auto right = b.block(2, 1, inner, columns);
        const Eigen::MatrixXd expected = left * right;
        const Eigen::MatrixXd before = Noise(rows + 2, columns, 3);
        Eigen::MatrixXd c = before;
        MultiplyInto(left, right, {}, c.topRows(rows));
        EXPECT_LE((c.topRows(rows) - expected).cwiseAbs().sum(),
                  1e-10 * static_cast<double>(c.size()));
        MultiplyInto(left, right.transpose().eval(),
                     {.transpose_b = true, .alpha = -1, .add = true}, c.topRows(rows));
        EXPECT_LE(c.topRows(rows).cwiseAbs().sum(), 1e-10 * static_cast<double>(c.size()));
        EXPECT_EQ(c.bottomRows(2), before.bottomRows(2)) << "what is not of the product";
      }
    }
  }
}

TEST(Linalg, FactorsAndSolves) {
  const Eigen::MatrixXd noise = Noise(90, 120, 3);
  const Eigen::MatrixXd matrix = noise * noise.transpose();
  Eigen::MatrixXd lower = matrix;
  ASSERT_TRUE(CholeskyInPlace(lower));
  const Eigen::MatrixXd expected = matrix.llt().matrixL();
  EXPECT_TRUE(Eigen::MatrixXd(lower.triangularView<Eigen::Lower>()).isApprox(expected, 1e-10));
  Eigen::MatrixXd b = Noise(90, 7, 4);
  const Eigen::MatrixXd before = b;
  SolveLowerInPlace(lower, b);
  EXPECT_TRUE((expected * b).isApprox(before, 1e-10));
  SolveLowerTransposedInPlace(lower, b);
  EXPECT_TRUE((matrix * b).isApprox(before, 1e-8));
  Eigen::MatrixXd indefinite = Eigen::MatrixXd::Identity(3, 3);
  indefinite(2, 2) = -1;
  EXPECT_FALSE(CholeskyInPlace(indefinite));
}

// Larger than the blocks they work on, and not a multiple of them.
TEST(Linalg, UsesTheShapeOfTriangularAndSymmetricMatrices) {
  for (const Eigen::Index size : {1, 24, 65, 200, 256, 300}) {
    Eigen::MatrixXd lower = Noise(size, size, 7).triangularView<Eigen::Lower>();
    lower.diagonal().array() += 30;
    const Eigen::MatrixXd b = Noise(size, 33, 8);
    Eigen::MatrixXd product = b;
    MultiplyLowerInPlace(lower, product);
    EXPECT_TRUE(product.isApprox(lower * b, 1e-13)) << size;
    EXPECT_TRUE((InverseOfLower(lower) * product).isApprox(b, 1e-12)) << size;
    Eigen::MatrixXd sum = lower * lower.transpose();
    const Eigen::MatrixXd expected = sum + b * b.transpose();
    AddSquareInto(b, sum);
    EXPECT_TRUE(sum.isApprox(expected, 1e-13)) << size;
  }
}

TEST(Linalg, MaternMatchesItsFormula) {
  Eigen::MatrixXd squared(1, 6);
  squared << 0, 1e-20, 0.3, 4, 900, -1e-17;
  Eigen::MatrixXd kernel = squared;
  Matern52InPlace(kernel, 1.5);
  for (Eigen::Index i = 0; i < 5; ++i) {
    const double r = std::sqrt(5 * squared(0, i));
    EXPECT_NEAR(kernel(0, i), 1.5 * (1 + r + r * r / 3) * std::exp(-r), 1e-14);
  }
  EXPECT_EQ(kernel(0, 5), 1.5) << "a negative distance is a rounding error of zero";
}

// Whatever this machine chooses, those of other machines must agree with it.
TEST(Linalg, TheKernelsAgree) {
  std::vector<const LinalgKernels*> others = {&kGenericKernels};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    others.push_back(&kAvx2Kernels);
#endif
  const Eigen::MatrixXd a = Noise(50, 30, 5), b = Noise(30, 21, 6);
  const Eigen::MatrixXd lower = Noise(50, 50, 9).triangularView<Eigen::Lower>();
  const Eigen::MatrixXd squared = a.cwiseAbs2();
  Eigen::MatrixXd matern = squared;
  Matern52InPlace(matern, 2);
  for (const LinalgKernels* other : others) {
    Eigen::MatrixXd c(50, 21);
    other->multiply(50, 21, 30, a.data(), 50, b.data(), 30, false, 1, false, c.data(), 50);
    EXPECT_TRUE(c.isApprox(Multiply(a, b), 1e-13));
    Eigen::MatrixXd product = c;
    other->multiply_lower(50, lower.data(), 50, 21, product.data(), 50);
    EXPECT_TRUE(product.isApprox(lower * c, 1e-13));
    Eigen::MatrixXd values = squared;
    other->matern52(values.size(), values.data(), 2, nullptr);
    EXPECT_TRUE(values.isApprox(matern, 1e-13));
  }
  RecordProperty("kernels", LinalgName());
}

}  // namespace
}  // namespace lathe::search
