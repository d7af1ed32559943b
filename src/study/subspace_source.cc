#include "study/subspace_source.h"

#include <cmath>
#include <utility>

#include "base/error.h"

namespace lathe::study {

SubspaceSource::SubspaceSource(const space::SearchSpace& space, space::SearchSpace::Head head,
                               const latency::Estimator& estimator,
                               std::vector<space::Candidate> pool, Interval interval)
    : space_(space),
      head_(head),
      estimator_(estimator),
      pool_(std::move(pool)),
      interval_(interval) {
  if (pool_.empty()) throw Error(ErrorKind::kInternal, "a sub-space source needs candidates");
}

search::Candidate SubspaceSource::Describe(const space::Encoding& encoding) const {
  const net::Network network = NetworkOf(encoding);
  const net::Costs costs = net::Count(network);
  const double latency_us = estimator_.Network(network).latency_us;
  return {.encoding = encoding,
          .features = {std::log(static_cast<double>(costs.macs)),
                       std::log(static_cast<double>(costs.params)), std::log(latency_us),
                       static_cast<double>(network.layers.size())},
          .latency_us = latency_us};
}

std::vector<search::Candidate> SubspaceSource::Draw(int count, Random& random) {
  std::vector<search::Candidate> drawn;
  drawn.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    search::Candidate candidate = Describe(pool_[random.Below(pool_.size())].encoding);
    const uint64_t steps = i % 2 == 0 ? 0 : 1 + random.Below(3);
    for (uint64_t step = 0; step < steps; ++step) {
      const std::vector<space::Encoding> moves = space_.Neighbours(candidate.encoding);
      if (moves.empty()) break;
      search::Candidate moved = Describe(moves[random.Below(moves.size())]);
      if (interval_.Contains(moved.latency_us)) candidate = std::move(moved);
    }
    drawn.push_back(std::move(candidate));
  }
  return drawn;
}

std::vector<search::Candidate> SubspaceSource::Neighbours(const search::Candidate& candidate) {
  std::vector<search::Candidate> inside;
  for (const space::Encoding& encoding : space_.Neighbours(candidate.encoding)) {
    search::Candidate neighbour = Describe(encoding);
    if (interval_.Contains(neighbour.latency_us)) inside.push_back(std::move(neighbour));
  }
  return inside;
}

std::vector<search::Dimension> Dimensions(const space::SearchSpace& space) {
  std::vector<search::Dimension> dimensions;
  for (const space::Gene& gene : space.genes()) {
    dimensions.push_back({.name = gene.name, .choices = gene.choices, .ordinal = gene.ordinal});
  }
  return dimensions;
}

}  // namespace lathe::study
