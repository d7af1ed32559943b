// Stage 1 of a search: Sobol candidates of a space, each with its latency, sorted into latency
// sub-spaces; and files of candidates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "space/candidates.h"
#include "space/search_space.h"

namespace lathe::space {

struct Candidate {
  Encoding encoding;
  double latency_us = 0;
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
  Scramble scramble = Scramble::kOwen;
  uint64_t seed = 0;
  std::vector<double> edges_us;
  int threads = 1;
};
// Holds all candidates. Deterministic for any thread count. Throws kInput for bad options.
Stage1 Categorise(const CostTables& tables, const Stage1Options& options);

// CSV: gene names, latency_us, bucket. Atomic.
void WriteCsv(const std::filesystem::path& path, const SearchSpace& space, const Stage1& stage1);

enum class CandidateFormat { kCsv, kBinary };

struct StreamOptions {
  uint64_t points = 0;
  // Only candidates with a latency in [low_ps, high_ps].
  int64_t low_ps = 0, high_ps = INT64_MAX;
  uint64_t most = UINT64_MAX;  // stops after so many candidates
  bool latency = true;         // false: leave it out, as the tables know none
  CandidateFormat format = CandidateFormat::kCsv;
  int threads = 1;
  std::function<void(uint64_t points, uint64_t candidates)> on_progress;
};
// Writes Sobol candidates to a file without holding them, duplicates included; returns how many.
// The file, the same for any thread count, appears when it is complete. docs/files.md describes
// both formats.
uint64_t StreamCandidates(const std::filesystem::path& path, const SobolCandidates& candidates,
                          const StreamOptions& options);

}  // namespace lathe::space
