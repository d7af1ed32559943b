// Which range of a tensor's values int8 should resolve: all of it, or less for finer steps. Pure
// functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "onnx/quantize.h"

namespace lathe::deploy {

enum class RangeMethod {
  kMinMax,      // everything
  kPercentile,  // all but the largest 0.01 % of the magnitudes
  kEntropy,     // loses the least information: Migacz 2017, "8-bit Inference with TensorRT"
};
inline constexpr std::array kRangeMethods = {RangeMethod::kMinMax, RangeMethod::kPercentile,
                                             RangeMethod::kEntropy};
std::string_view Name(RangeMethod method);  // "min-max", "percentile", "entropy"
// None for any other name ("best").
std::optional<RangeMethod> RangeMethodOf(std::string_view name);

// How the values of a tensor are distributed.
struct Distribution {
  static constexpr size_t kBins = 2048;
  onnx::Range range;            // smallest and largest value
  std::vector<int64_t> counts;  // kBins equal bins of magnitudes up to the largest; without zeros,
                                // which int8 always meets exactly
  float Largest() const;        // magnitude
  void Count(float value);      // needs `range`
};

// Never wider than the distribution's.
onnx::Range ChooseRange(const Distribution& distribution, RangeMethod method);

}  // namespace lathe::deploy
