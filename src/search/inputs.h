// Candidates as points for the model: ordinal genes by rank in [0, 1], categorical genes one-hot,
// features standardised. Genes with one choice are left out. A value; const after SetScale().
#pragma once

#include <Eigen/Core>
#include <vector>

#include "search/gp.h"
#include "search/proposer.h"

namespace lathe::search {

class InputMap {
 public:
  InputMap(const std::vector<Dimension>& dimensions, size_t features);

  // Takes mean and spread of the features from these candidates.
  void SetScale(const std::vector<const Candidate*>& candidates);

  Eigen::RowVectorXd Point(const Candidate& candidate) const;
  GpInputs Inputs(const std::vector<const Candidate*>& candidates) const;
  int gene_groups() const { return static_cast<int>(genes_.size()); }
  int feature_groups() const {
    return static_cast<int>(features_.size());
  }  // numbered after the genes

 private:
  struct Gene {
    size_t position;  // in the encoding
    std::vector<int> choices;
    bool ordinal;
  };
  struct Feature {
    double mean = 0, deviation = 1;
  };
  std::vector<Gene> genes_;
  std::vector<Feature> features_;
  std::vector<int> groups_;  // per column
  size_t encoding_size_;
};

}  // namespace lathe::search
