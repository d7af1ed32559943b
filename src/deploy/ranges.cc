#include "deploy/ranges.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "base/error.h"

namespace lathe::deploy {
namespace {

constexpr double kClippedShare = 1e-4;

// Kullback-Leibler divergence of the first `kept` bins, with all larger values counted as the last
// of them, from what is left of them with `levels` steps.
double Divergence(std::span<const int64_t> counts, size_t kept, size_t levels) {
  const auto sum = [](std::span<const int64_t> bins) {
    return static_cast<double>(std::accumulate(bins.begin(), bins.end(), int64_t{0}));
  };
  const std::span<const int64_t> inside = counts.first(kept);
  const double clipped = sum(counts.subspan(kept));
  const double total_inside = sum(inside), total = total_inside + clipped;
  if (total_inside == 0) return INFINITY;
  double divergence = 0;
  for (size_t level = 0; level < levels; ++level) {
    const size_t begin = level * kept / levels, end = (level + 1) * kept / levels;
    const std::span<const int64_t> step = inside.subspan(begin, end - begin);
    const auto filled =
        static_cast<double>(std::ranges::count_if(step, [](int64_t count) { return count > 0; }));
    const double each = filled > 0 ? sum(step) / filled / total_inside : 0;
    for (size_t i = begin; i < end; ++i) {
      const double reference =
          (static_cast<double>(counts[i]) + (i + 1 == kept ? clipped : 0)) / total;
      if (reference > 0) divergence += reference * std::log(reference / std::max(each, 1e-10));
    }
  }
  return divergence;
}

// The number of leading bins to keep.
size_t BinsOfPercentile(const Distribution& distribution) {
  const std::vector<int64_t>& counts = distribution.counts;
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  double clipped = 0;
  size_t kept = counts.size();
  while (kept > 1 && clipped + static_cast<double>(counts[kept - 1]) <= kClippedShare * total)
    clipped += static_cast<double>(counts[--kept]);
  return kept;
}

size_t BinsOfEntropy(const Distribution& distribution) {
  constexpr size_t kStride = 8;
  const std::vector<int64_t>& counts = distribution.counts;
  const onnx::Range& range = distribution.range;
  // Steps that fall on one sign's side, which has the larger magnitudes.
  const double width = std::max(range.high, 0.0f) - std::min(range.low, 0.0f);
  const auto levels = static_cast<size_t>(std::clamp(
      std::round(256 * static_cast<double>(distribution.Largest()) / width), 1.0, 256.0));
  size_t best = counts.size();
  double least = Divergence(counts, best, levels);
  for (size_t kept = levels; kept < counts.size(); kept += kStride) {
    const double divergence = Divergence(counts, kept, levels);
    if (divergence >= least) continue;
    least = divergence;
    best = kept;
  }
  return best;
}

}  // namespace

std::string_view Name(RangeMethod method) {
  switch (method) {
    case RangeMethod::kMinMax:
      return "min-max";
    case RangeMethod::kPercentile:
      return "percentile";
    case RangeMethod::kEntropy:
      return "entropy";
  }
  throw Error(ErrorKind::kInternal, "unknown range method {}", static_cast<int>(method));
}

std::optional<RangeMethod> RangeMethodOf(std::string_view name) {
  for (const RangeMethod method : kRangeMethods) {
    if (name == Name(method)) return method;
  }
  return std::nullopt;
}

float Distribution::Largest() const { return std::max(std::abs(range.low), std::abs(range.high)); }

void Distribution::Count(float value) {
  counts.resize(kBins);
  if (value == 0) return;
  const float share = std::abs(value) / Largest();
  ++counts[std::min(kBins - 1, static_cast<size_t>(share * kBins))];
}

onnx::Range ChooseRange(const Distribution& distribution, RangeMethod method) {
  const onnx::Range& range = distribution.range;
  if (method == RangeMethod::kMinMax || distribution.Largest() == 0) return range;
  const size_t kept = method == RangeMethod::kPercentile ? BinsOfPercentile(distribution)
                                                         : BinsOfEntropy(distribution);
  const float most =
      distribution.Largest() * static_cast<float>(kept) / static_cast<float>(Distribution::kBins);
  return {.low = std::clamp(range.low, -most, most), .high = std::clamp(range.high, -most, most)};
}

}  // namespace lathe::deploy
