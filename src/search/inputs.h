// Candidates as points for the model: ordinal genes by rank in [0, 1], categorical genes one-hot,
// features standardised; and the same inputs again, one by one, for the additive part: embedded so
// that their products are a Matern-5/2 kernel of fixed length (categorical: equal or not). Where
// several genes are of one kind, the sum of their choices, and the sum weighted by their positions
// in the space, are further inputs of the additive part, linear ones: what a choice does in one
// place is a first guess for the others, and so is how that changes from the first place to the
// last. Genes with one choice are left out. A value; const after SetScale().
#pragma once

#include <Eigen/Core>
#include <span>
#include <vector>

#include "search/gp.h"
#include "search/proposer.h"

namespace lathe::search {

std::vector<const Candidate*> PointersTo(const std::vector<Candidate>& candidates);

class InputMap {
 public:
  InputMap(const std::vector<Dimension>& dimensions, size_t features);

  // Leaves out what genes of one kind share.
  void DropKinds();

  // Takes mean and spread of the features from these candidates.
  void SetScale(const std::vector<const Candidate*>& candidates);

  GpInputs Inputs(const std::vector<const Candidate*>& candidates) const;
  // The additive part's groups are numbered in this order, those of the Matern kernel without
  // those of kinds. A kind of ordinal genes may have two: its choices as things, and as amounts.
  int gene_groups() const { return static_cast<int>(genes_.size()); }
  int feature_groups() const { return static_cast<int>(features_.size()); }
  int kind_groups() const;
  int kinds() const { return static_cast<int>(kinds_.size()); }

 private:
  // Nystrom's embedding of a one-dimensional kernel in its principal components, as many as it
  // takes: on the grid it is exact but for a share kLeftOut of the variance.
  struct Embedding {
    Eigen::VectorXd grid;
    Eigen::MatrixXd projection;  // components x grid, of the kernel with the grid's points
    explicit Embedding(const Eigen::VectorXd& points);
    Eigen::MatrixXd operator()(const Eigen::VectorXd& values) const;  // components x values
  };
  struct Gene {
    size_t position;  // in the encoding
    std::vector<int> choices;
    bool ordinal;
    Eigen::MatrixXd embedded;  // components x ranks
  };
  // Genes that share what their choices add: as things, as amounts, or both, each a group of its
  // own. Its inputs are the sums over the genes of what their choices add, and the same weighted by
  // position.
  struct Kind {
    std::vector<size_t> genes;           // indices
    Eigen::MatrixXd weights;             // genes x 2: in the sum, and in that by position
    std::vector<Eigen::MatrixXd> added;  // per group: components x ranks, centred
  };
  struct Feature {
    double mean = 0, deviation = 1;
  };
  static size_t RankOf(const Gene& gene, const Candidate& candidate);
  void Check(const Candidate& candidate) const;
  void SetGenes(const Candidate& candidate, Eigen::Ref<Eigen::VectorXd> point,
                std::vector<size_t>& ranks) const;
  void Share(Kind& kind, const Eigen::MatrixXd& embedded);
  void SetShared(const std::vector<size_t>& ranks, Eigen::Ref<Eigen::VectorXd> point) const;
  void SetFeatures(std::span<const Candidate* const> candidates,
                   Eigen::Ref<Eigen::MatrixXd> points) const;  // inputs x candidates

  std::vector<Gene> genes_;
  std::vector<Feature> features_;
  std::vector<Kind> kinds_;
  Embedding feature_embedding_;  // of standardised features
  // Inputs, first those of the Matern kernel, then those of the additive part.
  Eigen::Index first_feature_, first_feature_component_, first_shared_;
  std::vector<int> groups_;  // per column of the Matern kernel
  std::vector<int> additive_groups_;
  size_t encoding_size_;
};

}  // namespace lathe::search
