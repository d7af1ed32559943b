#include "search/inputs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe::search {
namespace {

// Matern-5/2 at a distance of gene ranks or standardised features, of the additive part's length.
double Kernel(double distance) {
  const double r = std::sqrt(5.0) * std::abs(distance) / 2.0;
  return (1 + r + r * r / 3) * std::exp(-r);
}

// The product of two points' columns of one additive group.
double Product(const GpInputs& inputs, int group, Eigen::Index a, Eigen::Index b) {
  const Eigen::Index first = std::ssize(inputs.groups);
  double sum = 0;
  for (size_t c = 0; c < inputs.additive_groups.size(); ++c) {
    const Eigen::Index column = first + static_cast<Eigen::Index>(c);
    if (inputs.additive_groups[c] == group) sum += inputs.rows(a, column) * inputs.rows(b, column);
  }
  return sum;
}

TEST(InputMap, ProductsOfTheAdditivePartAreKernels) {
  std::vector<Dimension> dimensions = {
      {.name = "width", .choices = {8, 16, 24, 32, 64}, .ordinal = true},
      {.name = "operation", .choices = {0, 1, 2}, .ordinal = false},
      {.name = "many", .choices = {}, .ordinal = true}};
  for (int i = 0; i < 40; ++i) dimensions[2].choices.push_back(i);
  InputMap map(dimensions, 1);
  std::vector<Candidate> candidates;
  for (int i = 0; i < 40; ++i) {
    candidates.push_back({.encoding = {dimensions[0].choices[static_cast<size_t>(i % 5)], i % 3, i},
                          .features = {1.0 * i}});
  }
  const std::vector<const Candidate*> pointers = PointersTo(candidates);
  map.SetScale(pointers);
  const GpInputs inputs = map.Inputs(pointers);
  for (int a = 0; a < 40; ++a) {
    for (int b = 0; b < 40; ++b) {
      EXPECT_NEAR(Product(inputs, 0, a, b), Kernel((a % 5 - b % 5) / 4.0), 1e-3);
      EXPECT_EQ(Product(inputs, 1, a, b), a % 3 == b % 3 ? 1 : 0);
      EXPECT_NEAR(Product(inputs, 2, a, b), Kernel((a - b) / 39.0), 1e-3);
      EXPECT_NEAR(Product(inputs, 3, a, b), Kernel(0.3 * (a - b) / std::sqrt((1600 - 1) / 12.0)),
                  1e-3);
    }
  }
}

TEST(InputMap, CountsOfAKindAreCentredAndScaled) {
  std::vector<Dimension> dimensions;
  for (int i = 0; i < 4; ++i) {
    dimensions.push_back({.name = "layer" + std::to_string(i),
                          .choices = {3, 5},
                          .ordinal = true,
                          .kind = "kernel"});
  }
  const InputMap map(dimensions, 0);
  const Candidate three = {.encoding = {3, 5, 3, 3}, .features = {}};
  const GpInputs inputs = map.Inputs({&three});
  const Eigen::Index columns = inputs.rows.cols();
  ASSERT_EQ(map.kind_groups(), 1);
  EXPECT_DOUBLE_EQ(inputs.rows(0, columns - 2), (3 - 2) / std::sqrt(4.0));
  EXPECT_DOUBLE_EQ(inputs.rows(0, columns - 1), (1 - 2) / std::sqrt(4.0));
}

}  // namespace
}  // namespace lathe::search
