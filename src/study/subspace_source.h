// The candidates of one latency sub-space, as a proposer sees them: encodings of a space with their
// predicted latency and the features known before training. Deterministic; one thread at a time.
#pragma once

#include <vector>

#include "latency/estimator.h"
#include "search/proposer.h"
#include "space/subspace.h"

namespace lathe::study {

struct Interval {
  double low_us = 0, high_us = 0;
  bool Contains(double latency_us) const { return latency_us >= low_us && latency_us <= high_us; }
};

class SubspaceSource : public search::CandidateSource {
 public:
  // `pool`: candidates of stage 1 that lie in the interval; must not be empty. The references must
  // outlive the source.
  SubspaceSource(const space::SearchSpace& space, space::SearchSpace::Head head,
                 const latency::Estimator& estimator, std::vector<space::Candidate> pool,
                 Interval interval);

  // Half straight from the pool, half from random walks of one to three gene changes that stay
  // inside.
  std::vector<search::Candidate> Draw(int count, Random& random) override;
  std::vector<search::Candidate> Neighbours(const search::Candidate& candidate) override;

  // Latency and features (log MACs, log params, log latency, layers) of any encoding of the space.
  search::Candidate Describe(const space::Encoding& encoding) const;
  net::Network NetworkOf(const space::Encoding& encoding) const {
    return space_.Decode(encoding, head_);
  }

 private:
  const space::SearchSpace& space_;
  space::SearchSpace::Head head_;
  const latency::Estimator& estimator_;
  std::vector<space::Candidate> pool_;
  Interval interval_;
};

// The space's genes as the proposer's dimensions.
std::vector<search::Dimension> Dimensions(const space::SearchSpace& space);

}  // namespace lathe::study
