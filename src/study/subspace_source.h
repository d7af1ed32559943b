// The candidates of one latency sub-space, as a proposer sees them: encodings of a space with their
// predicted latency and the features known before training. Deterministic; one thread at a time.
#pragma once

#include <vector>

#include "search/proposer.h"
#include "space/count.h"

namespace lathe::study {

class SubspaceSource : public search::CandidateSource {
 public:
  // `tables` (with parameters and MACs) must outlive the source. Throws kTargetNotReached when the
  // sub-space is empty.
  SubspaceSource(const space::CostTables& tables, space::SearchSpace::Head head,
                 const space::SubspaceOptions& subspace);

  // Half drawn uniformly from the sub-space, half from random walks of one to three gene changes
  // that stay inside.
  std::vector<search::Candidate> Draw(int count, Random& random) override;
  std::vector<search::Candidate> Neighbours(const search::Candidate& candidate) override;

  // Latency and features (log MACs, log params, log latency, layers) of any encoding of the space.
  search::Candidate Describe(std::span<const int> encoding) const {
    return Describe(encoding, tables_.Of(encoding));
  }
  bool Contains(std::span<const int> encoding) const {
    return subspace_.Contains(tables_.Of(encoding));
  }
  net::Network NetworkOf(const space::Encoding& encoding) const {
    return tables_.space().Decode(encoding, head_);
  }

 private:
  search::Candidate Describe(std::span<const int> encoding, const space::Cost& cost) const;

  const space::CostTables& tables_;
  space::SearchSpace::Head head_;
  space::SubspaceOptions subspace_;
  space::SubspaceSampler sampler_;
};

// The space's genes as the proposer's dimensions.
std::vector<search::Dimension> Dimensions(const space::SearchSpace& space);

}  // namespace lathe::study
