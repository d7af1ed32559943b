#include "search/inputs.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace lathe::search {
namespace {

// Standardised features get about the spread of a gene's rank, so that one prior on length scales
// suits both.
constexpr double kFeatureSpread = 0.3;

}  // namespace

InputMap::InputMap(const std::vector<Dimension>& dimensions, size_t features)
    : features_(features), encoding_size_(dimensions.size()) {
  for (size_t i = 0; i < dimensions.size(); ++i) {
    const Dimension& dimension = dimensions[i];
    if (dimension.choices.size() < 2) continue;
    const size_t columns = dimension.ordinal ? 1 : dimension.choices.size();
    groups_.insert(groups_.end(), columns, gene_groups());
    genes_.push_back({.position = i, .choices = dimension.choices, .ordinal = dimension.ordinal});
  }
  for (int i = 0; i < feature_groups(); ++i) groups_.push_back(gene_groups() + i);
}

void InputMap::SetScale(const std::vector<const Candidate*>& candidates) {
  for (size_t f = 0; f < features_.size(); ++f) {
    double sum = 0, squares = 0;
    for (const Candidate* candidate : candidates) sum += candidate->features[f];
    const double mean = sum / static_cast<double>(candidates.size());
    for (const Candidate* candidate : candidates) {
      squares += (candidate->features[f] - mean) * (candidate->features[f] - mean);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(candidates.size()));
    features_[f] = {.mean = mean,
                    .deviation = deviation > 1e-12 * std::abs(mean) ? deviation : 1.0};
  }
}

Eigen::RowVectorXd InputMap::Point(const Candidate& candidate) const {
  if (candidate.encoding.size() != encoding_size_ ||
      candidate.features.size() != features_.size()) {
    throw Error(
        ErrorKind::kInternal, "a candidate has {} genes and {} features instead of {} and {}",
        candidate.encoding.size(), candidate.features.size(), encoding_size_, features_.size());
  }
  for (double feature : candidate.features) {
    if (!std::isfinite(feature))
      throw Error(ErrorKind::kInternal, "a candidate has a feature of {}", feature);
  }
  Eigen::RowVectorXd point = Eigen::RowVectorXd::Zero(static_cast<Eigen::Index>(groups_.size()));
  Eigen::Index column = 0;
  for (const Gene& gene : genes_) {
    const auto count = static_cast<Eigen::Index>(gene.choices.size());
    // A value of an earlier, wider study reads as the next choice.
    const auto found = std::lower_bound(gene.choices.begin(), gene.choices.end(),
                                        candidate.encoding[gene.position]);
    const Eigen::Index rank = std::min<Eigen::Index>(found - gene.choices.begin(), count - 1);
    if (gene.ordinal) {
      point[column++] = static_cast<double>(rank) / static_cast<double>(count - 1);
    } else {
      point[column + rank] = 1 / std::numbers::sqrt2;  // different choices are at distance one
      column += count;
    }
  }
  for (size_t f = 0; f < features_.size(); ++f) {
    point[column++] =
        kFeatureSpread * (candidate.features[f] - features_[f].mean) / features_[f].deviation;
  }
  return point;
}

GpInputs InputMap::Inputs(const std::vector<const Candidate*>& candidates) const {
  GpInputs inputs{.rows = Eigen::MatrixXd(static_cast<Eigen::Index>(candidates.size()),
                                          static_cast<Eigen::Index>(groups_.size())),
                  .groups = groups_};
  for (size_t i = 0; i < candidates.size(); ++i) {
    inputs.rows.row(static_cast<Eigen::Index>(i)) = Point(*candidates[i]);
  }
  return inputs;
}

}  // namespace lathe::search
