#include "space/subspace.h"

#include <algorithm>
#include <atomic>
#include <boost/random/sobol.hpp>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace lathe::space {
namespace {

// Runs function(begin, end) over [0, count) in blocks. Of several exceptions, the one of the lowest
// block is thrown, whatever the number of threads.
template <typename Function>
void ParallelBlocks(size_t count, int threads, Function function) {
  constexpr size_t kBlock = 1024;
  const size_t blocks = (count + kBlock - 1) / kBlock;
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  size_t failed_block = blocks;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t block = next++; block < blocks; block = next++) {
      try {
        function(block * kBlock, std::min(count, (block + 1) * kBlock));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (block < failed_block) {
          failed_block = block;
          failure = std::current_exception();
        }
        next = blocks;  // lower blocks are already taken by somebody
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    const size_t wanted = std::min<size_t>(static_cast<size_t>(threads), blocks);
    for (size_t i = 1; i < wanted; ++i) workers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

void CheckOptions(const Stage1Options& options) {
  constexpr int64_t kMaxPoints = int64_t{1} << 26;  // 10 GB of GPUNet encodings
  if (options.points < 1 || options.points > kMaxPoints) {
    throw Error(ErrorKind::kInput, "stage 1: {} points; give 1 to {}", options.points, kMaxPoints);
  }
  if (options.threads < 1 || options.threads > 1024) {
    throw Error(ErrorKind::kInput, "stage 1: {} threads; give 1 to 1024", options.threads);
  }
  for (size_t i = 0; i < options.edges_us.size(); ++i) {
    const double edge = options.edges_us[i];
    if (!std::isfinite(edge) || (i > 0 && edge <= options.edges_us[i - 1])) {
      throw Error(ErrorKind::kInput,
                  "stage 1: latency edge {} ({} us) must be finite and above "
                  "the one before",
                  i, edge);
    }
  }
}

// Keeps the first of equal encodings.
std::vector<Candidate> Distinct(std::vector<Encoding> encodings) {
  const auto hash = [&](size_t i) {
    const Encoding& encoding = encodings[i];
    return HashBytes(
        {reinterpret_cast<const char*>(encoding.data()), encoding.size() * sizeof(encoding[0])});
  };
  const auto equal = [&](size_t a, size_t b) { return encodings[a] == encodings[b]; };
  std::unordered_set<size_t, decltype(hash), decltype(equal)> seen(encodings.size(), hash, equal);
  std::vector<size_t> kept;
  for (size_t i = 0; i < encodings.size(); ++i) {
    if (seen.insert(i).second) kept.push_back(i);
  }
  seen.clear();
  std::vector<Candidate> candidates;
  candidates.reserve(kept.size());
  for (size_t i : kept) candidates.push_back({.encoding = std::move(encodings[i])});
  return candidates;
}

}  // namespace

struct SobolSource::Impl {
  Impl(const SearchSpace& the_space, uint64_t seed)
      : space(the_space),
        engine(std::max<size_t>(1, space.genes().size())),
        shift(space.genes().size(), 0),
        point(space.genes().size(), 0.0) {
    if (seed == 0) return;
    for (size_t i = 0; i < shift.size(); ++i) shift[i] = SubSeed(seed, "sobol", i);
  }

  SearchSpace space;
  boost::random::sobol engine;
  std::vector<uint64_t> shift;
  std::vector<double> point;
  bool at_origin =
      true;  // Boost leaves out the first point, without which 2^n points are not balanced
};

SobolSource::SobolSource(const SearchSpace& space, uint64_t seed) {
  constexpr size_t kMaxGenes = BOOST_RANDOM_SOBOL_MAX_DIMENSION;
  if (space.genes().size() > kMaxGenes) {
    throw Error(ErrorKind::kInput, "space '{}' has {} genes; Sobol points have at most {}",
                space.name(), space.genes().size(), kMaxGenes);
  }
  impl_ = std::make_unique<Impl>(space, seed);
}

SobolSource::~SobolSource() = default;
SobolSource::SobolSource(SobolSource&&) noexcept = default;

const std::vector<double>& SobolSource::NextPoint() {
  for (size_t i = 0; i < impl_->point.size(); ++i) {
    const uint64_t bits = (impl_->at_origin ? 0 : impl_->engine()) ^ impl_->shift[i];
    impl_->point[i] = static_cast<double>(bits >> 11) * 0x1.0p-53;
  }
  impl_->at_origin = false;
  return impl_->point;
}

Encoding SobolSource::Next() { return impl_->space.FromUnit(NextPoint()); }

void SobolSource::Skip(uint64_t points) {
  if (points == 0) return;
  impl_->engine.discard((points - (impl_->at_origin ? 1 : 0)) * impl_->point.size());
  impl_->at_origin = false;
}

int Stage1::BucketOf(double latency_us) const {
  return static_cast<int>(std::upper_bound(edges_us.begin(), edges_us.end(), latency_us) -
                          edges_us.begin());
}

Stage1 Categorise(const SearchSpace& space, const LatencyFunction& latency,
                  const Stage1Options& options) {
  CheckOptions(options);
  std::vector<Encoding> encodings(static_cast<size_t>(options.points));
  ParallelBlocks(encodings.size(), options.threads, [&](size_t begin, size_t end) {
    SobolSource source(space, options.seed);
    source.Skip(begin);
    for (size_t i = begin; i < end; ++i) encodings[i] = source.Next();
  });

  Stage1 stage1;
  stage1.edges_us = options.edges_us;
  stage1.candidates = Distinct(std::move(encodings));
  ParallelBlocks(stage1.candidates.size(), options.threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      Candidate& candidate = stage1.candidates[i];
      candidate.latency_us = latency(candidate.encoding);
      if (std::isfinite(candidate.latency_us) && candidate.latency_us >= 0) continue;
      throw Error(ErrorKind::kInternal, "stage 1: the predicted latency of {} is {}",
                  fmt::join(candidate.encoding, ","), candidate.latency_us);
    }
  });
  stage1.bucket_counts.assign(options.edges_us.size() + 1, 0);
  for (const Candidate& candidate : stage1.candidates) {
    ++stage1.bucket_counts[static_cast<size_t>(stage1.BucketOf(candidate.latency_us))];
  }
  return stage1;
}

void WriteCsv(const std::filesystem::path& path, const SearchSpace& space, const Stage1& stage1) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const Gene& gene : space.genes()) fmt::format_to(out, "{},", gene.name);
  fmt::format_to(out, "latency_us,bucket\n");
  for (const Candidate& candidate : stage1.candidates) {
    for (int value : candidate.encoding) fmt::format_to(out, "{},", value);
    fmt::format_to(out, "{},{}\n", candidate.latency_us, stage1.BucketOf(candidate.latency_us));
  }
  WriteFileAtomically(path, text);
}

}  // namespace lathe::space
