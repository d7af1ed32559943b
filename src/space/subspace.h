// Stage 1: Sobol candidates over a space, each with its latency, sorted into latency sub-spaces.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "space/search_space.h"

namespace lathe::space {

// Predicted latency of a whole candidate in microseconds; must be pure and thread-safe.
using LatencyFunction = std::function<double(const Encoding&)>;

struct Candidate {
  Encoding encoding;
  double latency_us = 0;
};

// Points of the Sobol sequence from the origin on (Boost, Joe-Kuo direction numbers), optionally
// shifted by a seeded digital shift (seed 0: none).
class SobolSource {
 public:
  SobolSource(const SearchSpace& space, uint64_t seed);
  ~SobolSource();
  SobolSource(SobolSource&&) noexcept;
  Encoding Next();
  // The coordinates behind Next(), one per gene; valid until the next call. Advances the sequence
  // as Next() does.
  const std::vector<double>& NextPoint();
  void Skip(uint64_t points);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Buckets with edges e0 < e1 < ... (microseconds): bucket i holds latencies in [e(i-1), e(i)),
// bucket 0 below e0, the last one at or above the last edge.
struct Stage1 {
  std::vector<double> edges_us;
  std::vector<Candidate> candidates;   // distinct, in Sobol order
  std::vector<int64_t> bucket_counts;  // edges + 1
  int BucketOf(double latency_us) const;
};

struct Stage1Options {
  int64_t points = 1 << 14;
  uint64_t seed = 0;
  std::vector<double> edges_us;
  int threads = 1;
};
// Deterministic for any thread count.
Stage1 Categorise(const SearchSpace& space, const LatencyFunction& latency,
                  const Stage1Options& options);

// CSV: gene names, latency_us, bucket. Atomic.
void WriteCsv(const std::filesystem::path& path, const SearchSpace& space, const Stage1& stage1);

}  // namespace lathe::space
