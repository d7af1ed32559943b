// Stage 1: the Sobol candidates of a space with their latency, and how many fall into each latency
// sub-space. Blocks of points are decoded and priced together, from the cost tables alone.
// Immutable after construction; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "space/cost_tables.h"
#include "space/sobol.h"

namespace lathe::space {

class SobolCandidates {
 public:
  static constexpr size_t kBlock = SobolSequence::kBlock;

  // `tables` must outlive this. Throws kInput for a space with more genes than Sobol points have
  // coordinates.
  SobolCandidates(const CostTables& tables, Scramble scramble, uint64_t seed);

  const SearchSpace& space() const { return tables_.space(); }

  // kBlock candidates in the order of the sequence. Coordinate u in [0, 1) of a gene with n choices
  // stands for choice floor(u * n).
  struct Block {
    std::vector<int32_t> choices;    // genes x kBlock, indices into Gene::choices
    std::vector<double> latency_ps;  // kBlock, whole numbers
    // kBlock; 1 over the number of encodings that stand for the same network: genes of stages
    // without layers have no effect, so such networks are met more often.
    std::vector<double> weight;
  };
  void Evaluate(uint64_t block, Block& out) const;
  // Canonical encoding of the i-th candidate of a block.
  Encoding EncodingOf(const Block& block, size_t i) const;

  struct BucketCount {
    int64_t points = 0;
    double weight = 0;  // of the points
  };
  // The first `points` points (at most 2^32) by bucket: bucket i holds latencies in
  // [edges[i-1], edges[i]), so there is one more than edges. Memory does not depend on `points`,
  // nor the result on `threads`. `on_progress` gets the number of points done, now and then.
  std::vector<BucketCount> Count(uint64_t points, std::span<const int64_t> edges_ps, int threads,
                                 const std::function<void(uint64_t)>& on_progress = {}) const;
  // Networks that a weight stands for when `points` points were looked at.
  double NetworksPerWeight(uint64_t points) const;

 private:
  // A stage's tables for the inner loop: doubles, which hold whole picoseconds exactly and which
  // every vector unit multiplies.
  struct Kernel {
    std::vector<double> first, rest;
    std::vector<int32_t> next, skip, layers;
    int filters = 0, variants = 0, next_layers = 1;
    bool may_skip = false;
    double skip_weight = 1;  // 1 over the choices that have no effect where the stage is empty
  };
  struct Columns;  // one number per candidate of a block
  static void Step(const Kernel& kernel, const int32_t* filter, const int32_t* layers_index,
                   Columns& columns, Block& out);

  const CostTables& tables_;
  SobolSequence sequence_;
  std::vector<Kernel> kernels_;
  std::vector<double> tail_;
};

}  // namespace lathe::space
