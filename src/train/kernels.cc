#include "train/kernels.h"

#include <algorithm>
#include <cstring>

// Everything below is compiled for AVX2 and FMA; Supports() keeps it from running elsewhere. The
// pragma stands after the includes, so that no inline function of theirs is compiled that way.
#if defined(__x86_64__) && defined(__GNUC__)
#define LATHE_KERNELS 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#endif

namespace lathe::train::kernels {
namespace {

constexpr int64_t kLanes = 8;
using Vec = float __attribute__((vector_size(32)));
using Ints = int32_t __attribute__((vector_size(32)));
using Bits = uint32_t __attribute__((vector_size(32)));
using Doubles = double __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(16)));

inline Vec Load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
inline Vec Load(const BFloat16* from) {
  Halves half;
  std::memcpy(&half, from, sizeof(half));
  return reinterpret_cast<Vec>(__builtin_convertvector(half, Bits) << 16);
}
inline void Store(float* to, const Vec& v) { std::memcpy(to, &v, sizeof(v)); }
inline void Store(BFloat16* to, const Vec& v) {  // rounds to nearest, ties to even
  const Bits bits = reinterpret_cast<Bits>(v);
  const Halves half = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, Halves);
  std::memcpy(to, &half, sizeof(half));
}
inline void AddTo(double* to, const Vec& v) {
  Doubles sum;
  std::memcpy(&sum, to, sizeof(sum));
  sum += __builtin_convertvector(v, Doubles);
  std::memcpy(to, &sum, sizeof(sum));
}
inline Vec Splat(float value) { return Vec{} + value; }
inline Vec Select(const Ints& condition, const Vec& yes, const Vec& no) {
  return condition ? yes : no;
}
inline Vec Clamp(const Vec& x, float low, float high) {
  const Vec raised = Select(x > low, x, Splat(low));
  return Select(raised < high, raised, Splat(high));
}

// e^x to 2 ulp: 2^n * e^r with |r| <= ln2 / 2 (polynomial of Cephes' expf).
inline Vec Exp(const Vec& value) {
  const Vec x = Clamp(value, -87.0f, 88.0f);
  const Vec magic = Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (x * 1.44269504f + magic) - magic;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = Splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * reinterpret_cast<Vec>(power);
}
inline Vec Sigmoid(const Vec& x) { return 1.0f / (1.0f + Exp(-x)); }

using net::Activation;

template <Activation kAct>
Vec Activate(const Vec& z) {
  switch (kAct) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return Select(z > 0.0f, z, Vec{});
    case Activation::kRelu6:
      return Clamp(z, 0.0f, 6.0f);
    case Activation::kSwish:
      return z * Sigmoid(z);
    case Activation::kHardSwish:
      return z * Clamp(z + 3.0f, 0.0f, 6.0f) * (1.0f / 6);
    case Activation::kSigmoid:
      return Sigmoid(z);
    case Activation::kHardSigmoid:
      return Clamp(z + 3.0f, 0.0f, 6.0f) * (1.0f / 6);
  }
}

// gradient * act'(z)
template <Activation kAct>
Vec ActivateBackward(const Vec& z, const Vec& gradient) {
  switch (kAct) {
    case Activation::kNone:
      return gradient;
    case Activation::kRelu:
      return Select(z > 0.0f, gradient, Vec{});
    case Activation::kRelu6:
      return Select((z > 0.0f) & (z < 6.0f), gradient, Vec{});
    case Activation::kSwish: {
      const Vec s = Sigmoid(z);
      return gradient * s * (1.0f + z * (1.0f - s));
    }
    case Activation::kHardSwish: {
      const Vec inside = Select(z > -3.0f, z * (1.0f / 3) + 0.5f, Vec{});
      return gradient * Select(z < 3.0f, inside, Splat(1.0f));
    }
    case Activation::kSigmoid: {
      const Vec s = Sigmoid(z);
      return gradient * s * (1.0f - s);
    }
    case Activation::kHardSigmoid:
      return Select((z > -3.0f) & (z < 3.0f), gradient * (1.0f / 6), Vec{});
  }
}

// Calls action<activation>().
template <typename Action>
void WithActivation(Activation act, const Action& action) {
  switch (act) {
    case Activation::kNone:
      return action.template operator()<Activation::kNone>();
    case Activation::kRelu:
      return action.template operator()<Activation::kRelu>();
    case Activation::kRelu6:
      return action.template operator()<Activation::kRelu6>();
    case Activation::kSwish:
      return action.template operator()<Activation::kSwish>();
    case Activation::kHardSwish:
      return action.template operator()<Activation::kHardSwish>();
    case Activation::kSigmoid:
      return action.template operator()<Activation::kSigmoid>();
    case Activation::kHardSigmoid:
      return action.template operator()<Activation::kHardSigmoid>();
  }
}

// Calls action<vectors>(first channel) so that blocks of four vectors, then single ones, cover the
// channels.
template <typename Action>
void ForBlocks(int64_t channels, const Action& action) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) action.template operator()<4>(c);
  for (; c < channels; c += kLanes) action.template operator()<1>(c);
}

// Two sums per channel over many rows: in float over a short run of rows, in double beyond it.
template <typename Terms>
void AddPairs(int64_t rows, int64_t channels, double* first, double* second, const Terms& terms) {
  const int64_t run =
      std::clamp<int64_t>(4096 / channels, 8, 256);  // stays in the first-level cache
  for (int64_t begin = 0; begin < rows; begin += run) {
    const int64_t end = std::min(rows, begin + run);
    ForBlocks(channels, [&]<int kVectors>(int64_t c) {
      Vec a[kVectors]{}, b[kVectors]{};
      for (int64_t row = begin; row < end; ++row) {
        for (int v = 0; v < kVectors; ++v) terms(row, c + v * kLanes, a[v], b[v]);
      }
      for (int v = 0; v < kVectors; ++v) {
        AddTo(first + c + v * kLanes, a[v]);
        AddTo(second + c + v * kLanes, b[v]);
      }
    });
  }
}

// The range of output positions whose window reaches input position 0 <= out * stride + offset <
// size.
struct Range {
  int64_t begin, end;
};
inline Range Reaching(int64_t offset, int64_t stride, int64_t size, int64_t out_size) {
  const int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t end = size - offset <= 0 ? 0 : (size - offset - 1) / stride + 1;
  return {std::min(begin, out_size), std::min(end, out_size)};
}

}  // namespace

bool Supports([[maybe_unused]] int64_t channels) {
#ifdef LATHE_KERNELS
  static const bool processor = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return processor && channels % kLanes == 0;
#else
  return false;
#endif
}

bool HasBFloat16() {
#ifdef LATHE_KERNELS
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

template <typename T>
void AddMoments(const T* x, int64_t rows, int64_t channels, const float* shift, double* sum,
                double* squares) {
  AddPairs(rows, channels, sum, squares, [&](int64_t row, int64_t c, Vec& first, Vec& second) {
    const Vec value = Load(x + row * channels + c) - Load(shift + c);
    first += value;
    second += value * value;
  });
}

template <typename T>
void Normalize(const T* x, int64_t rows, int64_t channels, const Affine& affine, T* y) {
  WithActivation(affine.act, [&]<Activation kAct>() {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t at = row * channels + c;
        Store(y + at,
              Activate<kAct>(Load(x + at) * Load(affine.scale + c) + Load(affine.offset + c)));
      }
    }
  });
}

template <typename T>
void ActivationGradient(const T* x, const T* dy, int64_t rows, int64_t channels,
                        const Affine& affine, const float* mean, T* dz, double* sum,
                        double* product) {
  WithActivation(affine.act, [&]<Activation kAct>() {
    AddPairs(rows, channels, sum, product, [&](int64_t row, int64_t c, Vec& first, Vec& second) {
      const int64_t at = row * channels + c;
      const Vec value = Load(x + at);
      const Vec d = ActivateBackward<kAct>(value * Load(affine.scale + c) + Load(affine.offset + c),
                                           Load(dy + at));
      Store(dz + at, d);
      first += d;
      second += d * (value - Load(mean + c));
    });
  });
}

template <typename T>
void Combine(const T* x, int64_t rows, int64_t channels, const Combination& combination, T* d) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t at = row * channels + c;
      Store(d + at, Load(combination.a + c) * Load(d + at) +
                        Load(combination.b + c) * Load(x + at) + Load(combination.c + c));
    }
  }
}

template <typename T>
void Average(const T* x, int64_t pixels, int64_t channels, T* mean) {
  const float share = 1.0f / static_cast<float>(pixels);
  ForBlocks(channels, [&]<int kVectors>(int64_t c) {
    Vec sum[kVectors]{};
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (int v = 0; v < kVectors; ++v) sum[v] += Load(x + pixel * channels + c + v * kLanes);
    }
    for (int v = 0; v < kVectors; ++v) Store(mean + c + v * kLanes, sum[v] * share);
  });
}

template <typename T>
void Scale(const T* x, const T* gate, int64_t pixels, int64_t channels, T* y) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      Store(y + pixel * channels + c, Load(x + pixel * channels + c) * Load(gate + c));
    }
  }
}

template <typename T>
void ScaleBackward(const T* x, const T* gate, const T* dy, int64_t pixels, int64_t channels, T* dx,
                   T* gate_gradient) {
  ForBlocks(channels, [&]<int kVectors>(int64_t c) {
    Vec sum[kVectors]{};
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = pixel * channels + c + v * kLanes;
        const Vec d = Load(dy + at);
        sum[v] += d * Load(x + at);
        Store(dx + at, d * Load(gate + c + v * kLanes));
      }
    }
    for (int v = 0; v < kVectors; ++v) Store(gate_gradient + c + v * kLanes, sum[v]);
  });
}

template <typename T>
void DepthwiseForward(const Depthwise& s, const T* x, const float* weight, T* y) {
  for (int64_t oy = 0; oy < s.out_h; ++oy) {
    for (int64_t ox = 0; ox < s.out_w; ++ox) {
      const int64_t top = oy * s.stride - s.pad, left = ox * s.stride - s.pad;
      const int64_t ky0 = std::max<int64_t>(0, -top), ky1 = std::min<int64_t>(s.kernel, s.h - top);
      const int64_t kx0 = std::max<int64_t>(0, -left),
                    kx1 = std::min<int64_t>(s.kernel, s.w - left);
      T* out = y + (oy * s.out_w + ox) * s.channels;
      ForBlocks(s.channels, [&]<int kVectors>(int64_t c) {
        Vec sum[kVectors]{};
        for (int64_t ky = ky0; ky < ky1; ++ky) {
          for (int64_t kx = kx0; kx < kx1; ++kx) {
            const T* from = x + ((top + ky) * s.w + left + kx) * s.channels + c;
            const float* factor = weight + (ky * s.kernel + kx) * s.channels + c;
            for (int v = 0; v < kVectors; ++v)
              sum[v] += Load(from + v * kLanes) * Load(factor + v * kLanes);
          }
        }
        for (int v = 0; v < kVectors; ++v) Store(out + c + v * kLanes, sum[v]);
      });
    }
  }
}

template <typename T>
void DepthwiseBackwardData(const Depthwise& s, const T* dy, const float* weight, T* dx) {
  for (int64_t iy = 0; iy < s.h; ++iy) {
    for (int64_t ix = 0; ix < s.w; ++ix) {
      ForBlocks(s.channels, [&]<int kVectors>(int64_t c) {
        Vec sum[kVectors]{};
        // Output oy used this pixel with ky = iy + pad - oy * stride.
        for (int64_t ky = (iy + s.pad) % s.stride; ky < s.kernel; ky += s.stride) {
          const int64_t oy = (iy + s.pad - ky) / s.stride;
          if (iy + s.pad < ky || oy >= s.out_h) continue;
          for (int64_t kx = (ix + s.pad) % s.stride; kx < s.kernel; kx += s.stride) {
            const int64_t ox = (ix + s.pad - kx) / s.stride;
            if (ix + s.pad < kx || ox >= s.out_w) continue;
            const T* from = dy + (oy * s.out_w + ox) * s.channels + c;
            const float* factor = weight + (ky * s.kernel + kx) * s.channels + c;
            for (int v = 0; v < kVectors; ++v)
              sum[v] += Load(from + v * kLanes) * Load(factor + v * kLanes);
          }
        }
        for (int v = 0; v < kVectors; ++v)
          Store(dx + (iy * s.w + ix) * s.channels + c + v * kLanes, sum[v]);
      });
    }
  }
}

template <typename T>
void DepthwiseBackwardWeight(const Depthwise& s, const T* x, const T* dy, float* gradient) {
  for (int64_t ky = 0; ky < s.kernel; ++ky) {
    const Range rows = Reaching(ky - s.pad, s.stride, s.h, s.out_h);
    for (int64_t kx = 0; kx < s.kernel; ++kx) {
      const Range columns = Reaching(kx - s.pad, s.stride, s.w, s.out_w);
      float* total = gradient + (ky * s.kernel + kx) * s.channels;
      ForBlocks(s.channels, [&]<int kVectors>(int64_t c) {
        Vec sum[kVectors]{};
        for (int64_t oy = rows.begin; oy < rows.end; ++oy) {
          const T* in = x + ((oy * s.stride + ky - s.pad) * s.w + kx - s.pad) * s.channels + c;
          const T* out = dy + oy * s.out_w * s.channels + c;
          for (int64_t ox = columns.begin; ox < columns.end; ++ox) {
            for (int v = 0; v < kVectors; ++v) {
              sum[v] += Load(in + ox * s.stride * s.channels + v * kLanes) *
                        Load(out + ox * s.channels + v * kLanes);
            }
          }
        }
        for (int v = 0; v < kVectors; ++v)
          Store(total + c + v * kLanes, Load(total + c + v * kLanes) + sum[v]);
      });
    }
  }
}

#define LATHE_INSTANTIATE(T)                                                            \
  template void AddMoments(const T*, int64_t, int64_t, const float*, double*, double*); \
  template void Normalize(const T*, int64_t, int64_t, const Affine&, T*);               \
  template void ActivationGradient(const T*, const T*, int64_t, int64_t, const Affine&, \
                                   const float*, T*, double*, double*);                 \
  template void Combine(const T*, int64_t, int64_t, const Combination&, T*);            \
  template void Average(const T*, int64_t, int64_t, T*);                                \
  template void Scale(const T*, const T*, int64_t, int64_t, T*);                        \
  template void ScaleBackward(const T*, const T*, const T*, int64_t, int64_t, T*, T*);  \
  template void DepthwiseForward(const Depthwise&, const T*, const float*, T*);         \
  template void DepthwiseBackwardData(const Depthwise&, const T*, const float*, T*);    \
  template void DepthwiseBackwardWeight(const Depthwise&, const T*, const T*, float*);

LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(BFloat16)
#undef LATHE_INSTANTIATE

}  // namespace lathe::train::kernels

#if defined(LATHE_KERNELS) && defined(__clang__)
#pragma clang attribute pop
#endif
