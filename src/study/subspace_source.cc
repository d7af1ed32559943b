#include "study/subspace_source.h"

#include <cmath>
#include <utility>

namespace lathe::study {

SubspaceSource::SubspaceSource(const space::CostTables& tables, space::SearchSpace::Head head,
                               const space::SubspaceOptions& subspace)
    : tables_(tables), head_(head), subspace_(subspace), sampler_(tables, subspace) {}

search::Candidate SubspaceSource::Describe(std::span<const int> encoding,
                                           const space::Cost& cost) const {
  const double latency_us = space::UsOf(cost.latency_ps);
  int layers = 1;  // the tail
  for (const space::Stage& stage : tables_.space().stages()) layers += stage.layers.At(encoding);
  return {.encoding = {encoding.begin(), encoding.end()},
          .features = {std::log(static_cast<double>(cost.macs)),
                       std::log(static_cast<double>(cost.params)), std::log(latency_us),
                       static_cast<double>(layers)},
          .latency_us = latency_us};
}

std::vector<search::Candidate> SubspaceSource::Draw(int count, Random& random) {
  const auto wanted = static_cast<size_t>(count);
  const space::Draws draws = sampler_.Draw(wanted, random);
  std::vector<search::Candidate> drawn;
  drawn.reserve(wanted);
  for (size_t i = 0; i < wanted; ++i) {
    space::Encoding encoding(draws[i].begin(), draws[i].end());
    space::Cost cost = draws.costs[i];
    const uint64_t steps = i % 2 == 0 ? 0 : 1 + random.Below(3);
    for (uint64_t step = 0; step < steps; ++step) {
      std::vector<space::Encoding> moves = tables_.space().Neighbours(encoding);
      if (moves.empty()) break;
      space::Encoding& moved = moves[random.Below(moves.size())];
      const space::Cost moved_cost = tables_.Of(moved);
      if (!subspace_.Contains(moved_cost)) continue;
      encoding = std::move(moved);
      cost = moved_cost;
    }
    drawn.push_back(Describe(encoding, cost));
  }
  return drawn;
}

std::vector<search::Candidate> SubspaceSource::Neighbours(const search::Candidate& candidate) {
  std::vector<search::Candidate> inside;
  for (const space::Encoding& encoding : tables_.space().Neighbours(candidate.encoding)) {
    const space::Cost cost = tables_.Of(encoding);
    if (subspace_.Contains(cost)) inside.push_back(Describe(encoding, cost));
  }
  return inside;
}

std::vector<search::Dimension> Dimensions(const space::SearchSpace& space) {
  std::vector<search::Dimension> dimensions;
  for (const space::Gene& gene : space.genes()) {
    dimensions.push_back({.name = gene.name,
                          .choices = gene.choices,
                          .ordinal = gene.ordinal,
                          .kind = std::string(space::Name(gene.kind))});
  }
  return dimensions;
}

}  // namespace lathe::study
