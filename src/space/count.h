// How many networks of a space lie in each latency sub-space, and uniform draws from one, without
// looking at networks one by one: dynamic programming over stages, feature map shapes and latency.
//
// The latency axis is cut into bins of a stated width; the latency of each first layer, of each run
// of further layers and of the tail is rounded to it. CountSubspaces() says what that can change:
// the largest error over all networks, and hard bounds for every count. Small spaces are counted
// network by network, without rounding.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "space/big_count.h"
#include "space/cost_tables.h"

namespace lathe::space {

// Largest numbers of parameters and multiply-accumulates; absent: any.
struct Limits {
  std::optional<int64_t> params, macs;
  bool Hold(const Cost& cost) const {
    return (!params || cost.params <= *params) && (!macs || cost.macs <= *macs);
  }
};

struct CountOptions {
  // Bins: bucket i holds latencies in [edges[i-1], edges[i]). Ascending, at least one.
  std::vector<int64_t> edges_ps;
  Limits limits;
  // Width of a latency bin; 0: as narrow as `memory_bytes` allows, but not below 1 ns nor above
  // 1 us where that fits.
  int64_t resolution_ps = 0;
  double enumerate_up_to = 2e7;  // networks; spaces of no more are counted one by one
  size_t memory_bytes = size_t{1} << 30;
};

struct SubspaceCounts {
  struct Bucket {
    BigCount count;      // networks whose rounded latency lies in the bucket
    BigCount low, high;  // the number by unrounded latency lies between these
  };
  std::vector<Bucket> buckets;  // one more than edges: the last one holds what is slower
  BigCount networks;            // of the space, without limits
  bool enumerated = false;      // counted one by one, nothing rounded
  int64_t resolution_ps = 0;    // 0: nothing rounded
  // Rounded minus unrounded latency, over all networks of the space.
  double error_low_us = 0, error_high_us = 0, error_rms_us = 0;
};

// Throws kInput: edges not ascending, a resolution that needs more than `memory_bytes`.
SubspaceCounts CountSubspaces(const CostTables& tables, const CountOptions& options);

// Least and greatest cost of any network, each quantity for itself.
struct CostRange {
  Cost least, greatest;
};
CostRange RangeOf(const CostTables& tables);

// Networks drawn uniformly from those with latency in [low_ps, high_ps] within limits.
struct SubspaceOptions {
  int64_t low_ps = 0, high_ps = 0;
  Limits limits;
  int64_t resolution_ps = 0;  // as in CountOptions
  size_t memory_bytes = size_t{1} << 30;
  bool Contains(const Cost& cost) const {
    return cost.latency_ps >= low_ps && cost.latency_ps <= high_ps && limits.Hold(cost);
  }
};

struct Draws {
  size_t genes = 0;
  std::vector<int> encodings;  // one after the other, genes integers each, canonical
  std::vector<Cost> costs;     // unrounded
  size_t size() const { return costs.size(); }
  std::span<const int> operator[](size_t i) const {
    return std::span(encodings).subspan(i * genes, genes);
  }
};

// Holds the histograms of the counts, and walks back through them: every network of the sub-space
// has the same probability, to about 1e-13. Immutable after construction; thread-safe.
class SubspaceSampler {
 public:
  // Throws kTargetNotReached when no network can be in the sub-space, kInput as CountSubspaces.
  SubspaceSampler(const CostTables& tables, const SubspaceOptions& options);
  ~SubspaceSampler();
  SubspaceSampler(SubspaceSampler&&) noexcept;

  // The rounded sub-space is a little wider than the one asked for, so that it holds every network
  // of it; the few draws whose unrounded cost lies outside are drawn again. Throws
  // kTargetNotReached when nearly all do.
  Draws Draw(size_t count, Random& random) const;
  double rounded_count() const;  // networks of the rounded sub-space

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lathe::space
