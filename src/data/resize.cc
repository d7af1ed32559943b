#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

// The same results with wider registers where the processor has them (no fused multiply-add).
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LATHE_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define LATHE_WIDE
#endif

namespace lathe::data {
namespace {

// Which inputs an output is made of, along one axis.
struct Taps {
  int first = 0, count = 0;
  size_t weights = 0;  // where its weights begin
};

struct Axis {
  std::vector<Taps> taps;
  std::vector<float> weights;

  void Plan(int from, int to) {
    const double scale = static_cast<double>(from) / to, support = std::max(scale, 1.0);
    taps.resize(static_cast<size_t>(to));
    weights.clear();
    for (int i = 0; i < to; ++i) {
      const double centre = (i + 0.5) * scale;
      const int first = std::max(0, static_cast<int>(std::floor(centre - support + 0.5)));
      const int end = std::min(from, static_cast<int>(std::floor(centre + support + 0.5)));
      const size_t begin = weights.size();
      double sum = 0;
      for (int x = first; x < end; ++x) {
        const double weight = std::max(0.0, 1 - std::abs(x + 0.5 - centre) / support);
        weights.push_back(static_cast<float>(weight));
        sum += weight;
      }
      for (size_t k = begin; k < weights.size(); ++k) {
        weights[k] = static_cast<float>(weights[k] / sum);
      }
      taps[static_cast<size_t>(i)] = {first, end - first, begin};
    }
  }
};

// The weighted sum of rows that lie `stride` apart.
LATHE_WIDE void SumRows(const uint8_t* first, size_t stride, const float* weights, int count,
                        size_t size, float* __restrict sum) {
  int k = 0;
  if (count % 2 == 1) {
    for (size_t i = 0; i < size; ++i) sum[i] = weights[0] * static_cast<float>(first[i]);
    k = 1;
  } else {
    std::memset(sum, 0, size * sizeof(float));
  }
  for (; k < count; k += 2) {
    const uint8_t* a = first + static_cast<size_t>(k) * stride;
    const uint8_t* b = a + stride;
    const float left = weights[k], right = weights[k + 1];
    for (size_t i = 0; i < size; ++i) {
      sum[i] += left * static_cast<float>(a[i]) + right * static_cast<float>(b[i]);
    }
  }
}

// Four lanes for three channels: the fourth is of the next pixel, or of the padding.
using Lanes = float __attribute__((vector_size(16)));
using Whole = int32_t __attribute__((vector_size(16)));

void SumColours(const float* row, const Axis& axis, uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    const float* weights = axis.weights.data() + taps.weights;
    const float* from = row + std::ptrdiff_t{taps.first} * 3;
    Lanes sum{0.5f, 0.5f, 0.5f, 0.5f};
    for (int k = 0; k < taps.count; ++k, from += 3) {
      Lanes pixel;
      std::memcpy(&pixel, from, sizeof(pixel));
      sum += pixel * weights[k];
    }
    const Whole whole = __builtin_convertvector(sum, Whole);
    for (int c = 0; c < 3; ++c) *out++ = static_cast<uint8_t>(whole[c]);
  }
}

void SumGreys(const float* row, const Axis& axis, uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    const float* weights = axis.weights.data() + taps.weights;
    float sum = 0.5f;
    for (int k = 0; k < taps.count; ++k) sum += row[taps.first + k] * weights[k];
    *out++ = static_cast<uint8_t>(sum);
  }
}

}  // namespace

void Resize(const cv::Mat& from, int h, int w, cv::Mat& to) {
  struct Scratch {
    Axis down, across;
    std::vector<float> row;
  };
  thread_local Scratch scratch;
  scratch.down.Plan(from.rows, h);
  scratch.across.Plan(from.cols, w);
  const auto channels = static_cast<size_t>(from.channels());
  const size_t size = static_cast<size_t>(from.cols) * channels;
  scratch.row.resize(std::max(scratch.row.size(), size + 4));
  to.create(h, w, from.type());
  for (int y = 0; y < h; ++y) {
    const Taps& taps = scratch.down.taps[static_cast<size_t>(y)];
    SumRows(from.ptr(taps.first), from.step, scratch.down.weights.data() + taps.weights, taps.count,
            size, scratch.row.data());
    if (channels == 1) {
      SumGreys(scratch.row.data(), scratch.across, to.ptr(y));
    } else {
      SumColours(scratch.row.data(), scratch.across, to.ptr(y));
    }
  }
}

}  // namespace lathe::data
