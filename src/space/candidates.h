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
    std::vector<int32_t> choices;     // genes x kBlock, indices into Gene::choices
    std::vector<int64_t> latency_ps;  // kBlock
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
  // A stage's tables for the inner loop. Small, because the loop waits for little else than the
  // second-level cache.
  struct Entry {
    uint64_t next_and_first;  // state after the stage << 48 | picoseconds of the first layer
    int64_t rest_ps;          // of each further one
  };
  struct Kernel {
    std::vector<Entry> entries;  // states x stride
    int32_t stride = 0;
    struct Axis {
      int gene;
      int32_t stride;
    };
    std::vector<Axis> axes;  // what makes an entry's place within its state
    std::vector<int32_t> layers;
    bool even_layers = true;    // layers are an arithmetic sequence: no table is needed
    bool may_be_empty = false;  // then the last entry of each state is that of no layers
    double empty_weight = 1;    // 1 over the choices that have no effect then
  };
  struct Columns;
  Kernel KernelOf(size_t stage) const;
  static Entry EntryOf(int32_t next, int64_t first_ps, int64_t rest_ps);
  void FindLayers(size_t stage, const Block& block, Columns& columns) const;
  static void Step(const Kernel& kernel, Columns& columns, Block& block);
  static const int32_t* ChoicesOf(const Block& block, int gene) {
    return block.choices.data() + static_cast<size_t>(gene) * kBlock;
  }

  const CostTables& tables_;
  SobolSequence sequence_;
  std::vector<Kernel> kernels_;
  std::vector<int64_t> tail_;
};

}  // namespace lathe::space
