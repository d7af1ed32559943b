#include "search/inputs.h"

#include <Eigen/Eigenvalues>
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
constexpr double kLeftOut = 2e-4;
constexpr size_t kFewestOfAKind = 3;     // fewer teach each other little
constexpr Eigen::Index kMostThings = 8;  // more choices are amounts only

Eigen::MatrixXd AdditiveKernel(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  Eigen::MatrixXd kernel = (a.replicate(1, b.size()).rowwise() - b.transpose()).array().square() /
                           (kAdditiveLength * kAdditiveLength);
  Matern52InPlace(kernel, 1.0);
  return kernel;
}

// Of so many genes in the sum and in the sum by position: columns. Positions are ranks of mean zero
// and variance one; either sum of independent effects of variance one is of about that variance.
Eigen::MatrixXd WeightsOfAKind(Eigen::Index genes) {
  const auto count = static_cast<double>(genes);
  const double unit = 1 / std::sqrt(count), deviation = std::sqrt((count * count - 1) / 12);
  Eigen::MatrixXd weights(genes, 2);
  for (Eigen::Index i = 0; i < genes; ++i) {
    const double position = (static_cast<double>(i) - 0.5 * (count - 1)) / deviation;
    weights.row(i) << unit, unit * position;
  }
  return weights;
}

}  // namespace

std::vector<const Candidate*> PointersTo(const std::vector<Candidate>& candidates) {
  std::vector<const Candidate*> pointers;
  for (const Candidate& candidate : candidates) pointers.push_back(&candidate);
  return pointers;
}

InputMap::Embedding::Embedding(const Eigen::VectorXd& points) : grid(points) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> parts(AdditiveKernel(points, points));
  const Eigen::VectorXd& variances = parts.eigenvalues();  // ascending
  Eigen::Index first = 0;
  for (double left_out = 0; first + 1 < variances.size(); ++first) {
    left_out += variances[first];
    if (left_out > kLeftOut * variances.sum()) break;
  }
  const Eigen::Index components = variances.size() - first;
  projection = variances.tail(components).cwiseSqrt().cwiseInverse().asDiagonal() *
               parts.eigenvectors().rightCols(components).transpose();
}

Eigen::MatrixXd InputMap::Embedding::operator()(const Eigen::VectorXd& values) const {
  return projection * AdditiveKernel(grid, values);
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
    gene.embedded = gene.ordinal ? embedding(Eigen::VectorXd::LinSpaced(count, 0.0, 1.0))
                                 : Eigen::MatrixXd::Identity(count, count);
    additive_groups_.insert(additive_groups_.end(), static_cast<size_t>(gene.embedded.rows()),
                            gene_groups() - 1);
  }
  first_feature_ = std::ssize(groups_);
  first_feature_component_ = first_feature_ + feature_groups() + std::ssize(additive_groups_);
  for (int i = 0; i < feature_groups(); ++i) {
    groups_.push_back(gene_groups() + i);
    additive_groups_.insert(additive_groups_.end(),
                            static_cast<size_t>(feature_embedding_.projection.rows()),
                            gene_groups() + i);
  }
  first_shared_ = std::ssize(groups_) + std::ssize(additive_groups_);
  std::map<std::tuple<std::string, bool, std::vector<int>>, std::vector<size_t>> kinds;
  for (size_t g = 0; g < genes_.size(); ++g) {
    const std::string& kind = dimensions[genes_[g].position].kind;
    if (!kind.empty()) kinds[{kind, genes_[g].ordinal, genes_[g].choices}].push_back(g);
  }
  for (const auto& [kind, members] : kinds) {
    if (members.size() < kFewestOfAKind) continue;
    kinds_.push_back(
        {.genes = members, .weights = WeightsOfAKind(std::ssize(members)), .added = {}});
    const Gene& first = genes_[members.front()];
    const auto choices = std::ssize(first.choices);
    const bool things = choices <= kMostThings || !first.ordinal;
    const bool amounts = choices > 2 && first.ordinal;  // two say the same either way
    if (things) Share(kinds_.back(), Eigen::MatrixXd::Identity(choices, choices));
    if (amounts) Share(kinds_.back(), first.embedded);
  }
}

// `embedded`: components x ranks. Scaled as if its choices had independent effects of variance one.
void InputMap::Share(Kind& kind, const Eigen::MatrixXd& embedded) {
  Eigen::MatrixXd added = embedded.colwise() - embedded.rowwise().mean();
  added *= std::sqrt(static_cast<double>(added.cols() - 1)) / added.norm();
  additive_groups_.insert(additive_groups_.end(), static_cast<size_t>(2 * added.rows()),
                          gene_groups() + feature_groups() + kind_groups());
  kind.added.push_back(std::move(added));
}

int InputMap::kind_groups() const {
  size_t groups = 0;
  for (const Kind& kind : kinds_) groups += kind.added.size();
  return static_cast<int>(groups);
}

// A value of an earlier, wider study reads as the next choice.
size_t InputMap::RankOf(const Gene& gene, const Candidate& candidate) {
  const auto found = std::ranges::lower_bound(gene.choices, candidate.encoding[gene.position]);
  return std::min(static_cast<size_t>(found - gene.choices.begin()), gene.choices.size() - 1);
}

void InputMap::DropKinds() {
  kinds_.clear();
  additive_groups_.resize(static_cast<size_t>(first_shared_ - std::ssize(groups_)));
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

void InputMap::Check(const Candidate& candidate) const {
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
}

// Returns the genes' ranks.
void InputMap::SetGenes(const Candidate& candidate, Eigen::Ref<Eigen::VectorXd> point,
                        std::vector<size_t>& ranks) const {
  Eigen::Index column = 0, component = std::ssize(groups_);
  for (size_t g = 0; g < genes_.size(); ++g) {
    const Gene& gene = genes_[g];
    const auto count = std::ssize(gene.choices);
    ranks[g] = RankOf(gene, candidate);
    const auto rank = static_cast<Eigen::Index>(ranks[g]);
    point.segment(component, gene.embedded.rows()) = gene.embedded.col(rank);
    component += gene.embedded.rows();
    if (gene.ordinal) {
      point[column++] = static_cast<double>(rank) / static_cast<double>(count - 1);
    } else {
      point.segment(column, count).setZero();
      point[column + rank] = 1 / std::numbers::sqrt2;  // different choices are at distance one
      column += count;
    }
  }
}

void InputMap::SetShared(const std::vector<size_t>& ranks,
                         Eigen::Ref<Eigen::VectorXd> point) const {
  Eigen::Index column = first_shared_;
  for (const Kind& kind : kinds_) {
    for (const Eigen::MatrixXd& added : kind.added) {
      for (const auto& weights : kind.weights.colwise()) {
        auto sum = point.segment(column, added.rows());
        sum.setZero();
        for (size_t i = 0; i < kind.genes.size(); ++i) {
          sum += weights[static_cast<Eigen::Index>(i)] *
                 added.col(static_cast<Eigen::Index>(ranks[kind.genes[i]]));
        }
        column += added.rows();
      }
    }
  }
}

void InputMap::SetFeatures(std::span<const Candidate* const> candidates,
                           Eigen::Ref<Eigen::MatrixXd> points) const {
  const Eigen::Index components = feature_embedding_.projection.rows();
  Eigen::VectorXd values(std::ssize(candidates));
  for (size_t f = 0; f < features_.size(); ++f) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      values[static_cast<Eigen::Index>(i)] = kFeatureSpread *
                                             (candidates[i]->features[f] - features_[f].mean) /
                                             features_[f].deviation;
    }
    const auto feature = static_cast<Eigen::Index>(f);
    points.row(first_feature_ + feature) = values.transpose();
    points.middleRows(first_feature_component_ + feature * components, components) =
        feature_embedding_(values);
  }
}

GpInputs InputMap::Inputs(const std::vector<const Candidate*>& candidates) const {
  constexpr size_t kBlock = 64;  // candidates whose points stay in the cache until transposed
  GpInputs inputs{.rows = Eigen::MatrixXd(std::ssize(candidates),
                                          std::ssize(groups_) + std::ssize(additive_groups_)),
                  .groups = groups_,
                  .additive_groups = additive_groups_};
  std::vector<size_t> ranks(genes_.size());
  Eigen::MatrixXd points(inputs.rows.cols(), kBlock);
  for (size_t begin = 0; begin < candidates.size(); begin += kBlock) {
    const auto block =
        std::span(candidates).subspan(begin, std::min(kBlock, candidates.size() - begin));
    for (size_t i = 0; i < block.size(); ++i) {
      Check(*block[i]);
      auto point = points.col(static_cast<Eigen::Index>(i));
      SetGenes(*block[i], point, ranks);
      SetShared(ranks, point);
    }
    auto filled = points.leftCols(std::ssize(block));
    SetFeatures(block, filled);
    inputs.rows.middleRows(static_cast<Eigen::Index>(begin), filled.cols()) = filled.transpose();
  }
  return inputs;
}

}  // namespace lathe::search
