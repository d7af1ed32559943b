#include "search/inputs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <tuple>

#include "base/error.h"
#include "search/linalg.h"

namespace lathe::search {
namespace {

// Standardised features get about the spread of a gene's rank, so that one prior on length scales
// suits both.
constexpr double kFeatureSpread = 0.3;
// Of a gene's full range: what an input does by itself is nearly a parabola. 0.7, 1.2 and 2 took
// 36, 34 and 29 evaluations to the best network of NAS-Bench-Macro (median of 60 seeds).
constexpr double kAdditiveLength = 2.0;
constexpr Eigen::Index kMostGridPoints = 12;
constexpr size_t kFewestOfAKind = 3;       // fewer teach each other little
constexpr size_t kMostChoicesOfAKind = 8;  // more are amounts, not things

Eigen::MatrixXd AdditiveKernel(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  Eigen::MatrixXd kernel = (a.replicate(1, b.size()).rowwise() - b.transpose()).array().square() /
                           (kAdditiveLength * kAdditiveLength);
  Matern52InPlace(kernel, 1.0);
  return kernel;
}

}  // namespace

InputMap::Embedding::Embedding(const Eigen::VectorXd& points)
    : grid(points), cholesky(StableCholesky(AdditiveKernel(points, points))) {}

Eigen::VectorXd InputMap::Embedding::operator()(double value) const {
  const Eigen::VectorXd kernel = AdditiveKernel(grid, Eigen::VectorXd::Constant(1, value));
  return cholesky.triangularView<Eigen::Lower>().solve(kernel);
}

InputMap::InputMap(const std::vector<Dimension>& dimensions, size_t features)
    : features_(features),
      feature_embedding_(Eigen::VectorXd::LinSpaced(kMostGridPoints, -1.0, 1.0)),
      encoding_size_(dimensions.size()) {
  for (size_t i = 0; i < dimensions.size(); ++i) {
    const Dimension& dimension = dimensions[i];
    if (dimension.choices.size() < 2) continue;
    const size_t columns = dimension.ordinal ? 1 : dimension.choices.size();
    groups_.insert(groups_.end(), columns, gene_groups());
    genes_.push_back({.position = i,
                      .choices = dimension.choices,
                      .ordinal = dimension.ordinal,
                      .embedded = {}});
    Gene& gene = genes_.back();
    const auto count = std::ssize(gene.choices);
    const Embedding embedding(
        Eigen::VectorXd::LinSpaced(std::min<Eigen::Index>(count, kMostGridPoints), 0.0, 1.0));
    for (Eigen::Index rank = 0; rank < count; ++rank) {
      gene.embedded.push_back(
          gene.ordinal ? embedding(static_cast<double>(rank) / static_cast<double>(count - 1))
                       : Eigen::VectorXd(Eigen::VectorXd::Unit(count, rank)));
    }
    additive_groups_.insert(additive_groups_.end(),
                            static_cast<size_t>(gene.embedded.front().size()), gene_groups() - 1);
  }
  for (int i = 0; i < feature_groups(); ++i) {
    groups_.push_back(gene_groups() + i);
    additive_groups_.insert(additive_groups_.end(), kMostGridPoints, gene_groups() + i);
  }
  std::map<std::tuple<std::string, bool, std::vector<int>>, std::vector<size_t>> kinds;
  for (size_t g = 0; g < genes_.size(); ++g) {
    const std::string& kind = dimensions[genes_[g].position].kind;
    if (kind.empty() || genes_[g].choices.size() > kMostChoicesOfAKind) continue;
    kinds[{kind, genes_[g].ordinal, genes_[g].choices}].push_back(g);
  }
  for (const auto& [kind, members] : kinds) {
    if (members.size() < kFewestOfAKind) continue;
    additive_groups_.insert(additive_groups_.end(), genes_[members.front()].choices.size(),
                            gene_groups() + feature_groups() + kind_groups());
    kinds_.push_back(members);
  }
}

// A value of an earlier, wider study reads as the next choice.
size_t InputMap::RankOf(const Gene& gene, const Candidate& candidate) const {
  const auto found = std::ranges::lower_bound(gene.choices, candidate.encoding[gene.position]);
  return std::min(static_cast<size_t>(found - gene.choices.begin()), gene.choices.size() - 1);
}

Eigen::VectorXd InputMap::Counts(const std::vector<size_t>& kind,
                                 const Candidate& candidate) const {
  const auto genes = static_cast<double>(kind.size());
  const auto choices = std::ssize(genes_[kind.front()].choices);
  Eigen::VectorXd counts =
      Eigen::VectorXd::Constant(choices, -genes / static_cast<double>(choices));
  for (const size_t g : kind) {
    counts[static_cast<Eigen::Index>(RankOf(genes_[g], candidate))] += 1;
  }
  return counts / std::sqrt(genes);
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
  Eigen::RowVectorXd point =
      Eigen::RowVectorXd::Zero(static_cast<Eigen::Index>(groups_.size() + additive_groups_.size()));
  Eigen::Index column = 0;
  auto additive = static_cast<Eigen::Index>(groups_.size());
  const auto embed = [&](const Eigen::VectorXd& embedded) {
    point.segment(additive, embedded.size()) = embedded.transpose();
    additive += embedded.size();
  };
  for (const Gene& gene : genes_) {
    const auto count = std::ssize(gene.choices);
    const auto rank = static_cast<Eigen::Index>(RankOf(gene, candidate));
    embed(gene.embedded[static_cast<size_t>(rank)]);
    if (gene.ordinal) {
      point[column++] = static_cast<double>(rank) / static_cast<double>(count - 1);
    } else {
      point[column + rank] = 1 / std::numbers::sqrt2;  // different choices are at distance one
      column += count;
    }
  }
  for (size_t f = 0; f < features_.size(); ++f) {
    point[column] =
        kFeatureSpread * (candidate.features[f] - features_[f].mean) / features_[f].deviation;
    embed(feature_embedding_(point[column++]));
  }
  for (const std::vector<size_t>& kind : kinds_) embed(Counts(kind, candidate));
  return point;
}

GpInputs InputMap::Inputs(const std::vector<const Candidate*>& candidates) const {
  GpInputs inputs{
      .rows = Eigen::MatrixXd(static_cast<Eigen::Index>(candidates.size()),
                              static_cast<Eigen::Index>(groups_.size() + additive_groups_.size())),
      .groups = groups_,
      .additive_groups = additive_groups_};
  for (size_t i = 0; i < candidates.size(); ++i) {
    inputs.rows.row(static_cast<Eigen::Index>(i)) = Point(*candidates[i]);
  }
  return inputs;
}

}  // namespace lathe::search
