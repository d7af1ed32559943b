#include "search/prior.h"

#include <algorithm>
#include <cmath>

namespace lathe::search {
namespace {

// Logarithms of the Matern kernel's lengths for a single gene and a single feature, in the gene's
// full range. Lengths grow with the square root of the number of inputs (Hvarfner et al. 2024,
// "Vanilla Bayesian Optimization Performs Great in High Dimensions"); theirs begin at sqrt(2).
// Genes and features count apart, so that the few features matter more at first.
constexpr double kLogGeneLength = -1.6, kLogFeatureLength = -0.3;
// What the additive parts leave. Were less noise expected, the Matern kernel would explain each
// good result by itself; nothing untried looks as good then, and far candidates are tried for their
// variance.
constexpr double kLogSignal = -1, kLogNoise = -2.5;
// Genes of one space are of one sort, more or less: what the trials say of some of them holds for
// the others' lengths and variances until they say otherwise.
constexpr double kInCommon = 0.85;

}  // namespace

GpPrior PriorFor(const InputMap& map) {
  const int genes = map.gene_groups(), features = map.feature_groups(), kinds = map.kind_groups();
  const int groups = genes + features;
  const auto grown = [](double log_length, int count) {
    return log_length + 0.5 * std::log(std::max(1, count));
  };
  // The additive parts together vary about as much as the targets.
  const double additive = -std::log(std::max(1, groups));
  GpPrior prior(groups + 2 + groups + kinds);
  prior.Set(0, genes, grown(kLogGeneLength, genes), std::sqrt(3.0), kInCommon);
  prior.Set(genes, features, grown(kLogFeatureLength, features), std::sqrt(3.0));
  prior.Set(groups, 1, kLogSignal, 1);
  prior.Set(groups + 1, 1, kLogNoise, 1);
  prior.Set(groups + 2, genes, additive, 1.5, kInCommon);
  prior.Set(groups + 2 + genes, features + kinds, additive, 1.5);
  return prior;
}

}  // namespace lathe::search
