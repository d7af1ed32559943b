#include "search/inputs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "search/synthetic_testing.h"

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

TEST(InputMap, SumsOfAKindAreCentredAndScaled) {
  const InputMap map(LayersOfAKind(4, {3, 5}, true, "kernel"), 0);
  const Candidate candidate = {.encoding = {3, 5, 3, 3}, .features = {}};
  const GpInputs inputs = map.Inputs({&candidate});
  ASSERT_EQ(map.kind_groups(), 1);  // as amounts, two choices say nothing new
  const Eigen::RowVectorXd sums = inputs.rows.rightCols(4);
  EXPECT_DOUBLE_EQ(sums[0], (3 - 2) / 2.0);  // three of four genes have the first choice
  EXPECT_DOUBLE_EQ(sums[1], (1 - 2) / 2.0);
  // By positions -1.5, -0.5, 0.5 and 1.5, of variance 1.25.
  EXPECT_DOUBLE_EQ(sums[2], (-1.5 + 0.5 + 0.5 + 1.5) / 2 / std::sqrt(1.25) / 2);
  EXPECT_DOUBLE_EQ(sums[3], -sums[2]);
}

// Neighbouring amounts add alike, neighbouring things don't.
TEST(InputMap, OrdinalGenesOfAKindShareThingsAndAmounts) {
  std::vector<int> choices = {1, 2, 3, 4, 5, 6};
  const InputMap map(LayersOfAKind(3, choices, true, "kernel"), 0);
  ASSERT_EQ(map.kind_groups(), 2);
  std::vector<Candidate> candidates;
  for (const int choice : choices) candidates.push_back({.encoding = {choice, choice, choice}});
  const GpInputs inputs = map.Inputs(PointersTo(candidates));
  const auto apart = [&](int group, Eigen::Index a, Eigen::Index b) {
    return Product(inputs, group, a, a) + Product(inputs, group, b, b) -
           2 * Product(inputs, group, a, b);
  };
  const int things = map.gene_groups(), amounts = things + 1;
  EXPECT_NEAR(apart(things, 0, 1), apart(things, 0, 5), 1e-12);
  EXPECT_LT(10 * apart(amounts, 0, 1), apart(amounts, 0, 5));
  // As in the genes' own kernel.
  EXPECT_NEAR(apart(amounts, 1, 2) / apart(amounts, 0, 5), (1 - Kernel(0.2)) / (1 - Kernel(1)),
              1e-3);
  for (const int group : {things, amounts}) {
    double squares = 0;  // the same whatever the group
    for (Eigen::Index a = 0; a < 6; ++a) squares += Product(inputs, group, a, a);
    EXPECT_NEAR(squares, 3 * (6 - 1), 1e-9);
  }

  choices.insert(choices.end(), {7, 8, 9});
  EXPECT_EQ(InputMap(LayersOfAKind(3, choices, true, "kernel"), 0).kind_groups(),
            1);  // amounts only
  EXPECT_EQ(InputMap(LayersOfAKind(3, choices, false, "kernel"), 0).kind_groups(),
            1);  // things only
  EXPECT_EQ(InputMap(LayersOfAKind(2, choices, true, "kernel"), 0).kind_groups(),
            0);  // too few genes
}

}  // namespace
}  // namespace lathe::search
