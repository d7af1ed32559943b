// The kernels, for the processor that LATHE_ISA names: included once by the source file of each, in
// which LATHE_WIDE says that vectors have 64 bytes, and LATHE_AVX2 that AVX2's instructions are
// there. Private to this module.
//
// Loops over the vectors of a block are unrolled by pragma: only then do their sums stay in
// registers.

namespace lathe::train::kernels::LATHE_ISA {

#ifdef LATHE_WIDE
constexpr bool kWide = true;
#else
constexpr bool kWide = false;
#endif

// Vectors of 8 or 16 floats, and of as many or half as many of what they are converted to; and of
// one, for what is left of the channels.
template <int kCount>
struct Types;
template <>
struct Types<1> {
  using Vec = float __attribute__((vector_size(4)));
  using Ints = int32_t __attribute__((vector_size(4)));
  using Bits = uint32_t __attribute__((vector_size(4)));
  using Halves = uint16_t __attribute__((vector_size(2)));
};
template <>
struct Types<8> {
  using Vec = float __attribute__((vector_size(32)));
  using Ints = int32_t __attribute__((vector_size(32)));
  using Bits = uint32_t __attribute__((vector_size(32)));
  using Halves = uint16_t __attribute__((vector_size(16)));
  using HalfVec = float __attribute__((vector_size(16)));
  using Doubles = double __attribute__((vector_size(32)));
};
template <>
struct Types<16> {
  using Vec = float __attribute__((vector_size(64)));
  using Ints = int32_t __attribute__((vector_size(64)));
  using Bits = uint32_t __attribute__((vector_size(64)));
  using Halves = uint16_t __attribute__((vector_size(32)));
  using HalfVec = float __attribute__((vector_size(32)));
  using Doubles = double __attribute__((vector_size(64)));
};
template <typename Vec>
using TypesOf = Types<static_cast<int>(sizeof(Vec) / sizeof(float))>;

template <typename Vec>
inline Vec Load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <typename Vec>
inline Vec Load(const BFloat16* from) {
  using T = TypesOf<Vec>;
  typename T::Halves half;
  std::memcpy(&half, from, sizeof(half));
  return reinterpret_cast<Vec>(__builtin_convertvector(half, typename T::Bits) << 16);
}
template <typename Vec>
inline void Store(float* to, const Vec& v) {
  std::memcpy(to, &v, sizeof(v));
}
// The lower halves of 32-bit numbers. The compiler would take those of vectors out one by one.
inline Types<1>::Halves Narrow(const Types<1>::Bits& bits) {
  return __builtin_convertvector(bits, Types<1>::Halves);
}
inline Types<8>::Halves Narrow(const Types<8>::Bits& bits) {
#ifdef LATHE_AVX2
  const auto packed = _mm256_packus_epi32(reinterpret_cast<__m256i>(bits), _mm256_setzero_si256());
  return reinterpret_cast<Types<8>::Halves>(
      _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#else
  return __builtin_convertvector(bits, Types<8>::Halves);
#endif
}
#ifdef LATHE_WIDE
inline Types<16>::Halves Narrow(const Types<16>::Bits& bits) {
  return reinterpret_cast<Types<16>::Halves>(
      _mm512_mask_cvtepi32_epi16(_mm256_setzero_si256(), 0xffff, reinterpret_cast<__m512i>(bits)));
}
#endif
template <typename Vec>
inline void Store(BFloat16* to, const Vec& v) {  // rounds to nearest, ties to even
  const auto bits = reinterpret_cast<typename TypesOf<Vec>::Bits>(v);
  const auto half = Narrow((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  std::memcpy(to, &half, sizeof(half));
}
template <typename Vec>
inline void AddTo(double* to, const Vec& v) {
  using T = TypesOf<Vec>;
  if constexpr (std::is_same_v<T, Types<1>>) {
    *to += static_cast<double>(v[0]);
    return;
  } else {
    typename T::HalfVec halves[2];
    std::memcpy(halves, &v, sizeof(v));
#pragma GCC unroll 2
    for (const auto& half : halves) {
      typename T::Doubles sum;
      std::memcpy(&sum, to, sizeof(sum));
      sum += __builtin_convertvector(half, typename T::Doubles);
      std::memcpy(to, &sum, sizeof(sum));
      to += sizeof(sum) / sizeof(double);
    }
  }
}
template <typename Vec>
inline Vec Splat(float value) {
  return Vec{} + value;
}
template <typename Vec>
inline Vec Select(const typename TypesOf<Vec>::Ints& condition, const Vec& yes, const Vec& no) {
  return condition ? yes : no;
}
// NaN stays NaN: a training that diverged must not look like one that learned nothing.
template <typename Vec>
inline Vec Clamp(const Vec& x, float low, float high) {
  const Vec raised = Select(x < low, Splat<Vec>(low), x);
  return Select(raised > high, Splat<Vec>(high), raised);
}

// e^x to 2 ulp: 2^n * e^r with |r| <= ln2 / 2 (polynomial of Cephes' expf).
template <typename Vec>
inline Vec Exp(const Vec& value) {
  const Vec x = Clamp(value, -87.0f, 88.0f);
  const Vec magic = Splat<Vec>(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (x * 1.44269504f + magic) - magic;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = Splat<Vec>(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  using Ints = typename TypesOf<Vec>::Ints;
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * reinterpret_cast<Vec>(power);
}
template <typename Vec>
inline Vec Sigmoid(const Vec& x) {
  return 1.0f / (1.0f + Exp(-x));
}

using net::Activation;

template <Activation kAct, typename Vec>
Vec Activate(const Vec& z) {
  switch (kAct) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return Select(z < 0.0f, Vec{}, z);  // NaN stays NaN
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
template <Activation kAct, typename Vec>
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
      return gradient * Select(z < 3.0f, inside, Splat<Vec>(1.0f));
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

// Calls action<vector type, vectors>(first channel) so that blocks of four vectors, then single
// ones, then single channels cover all.
template <typename Action>
inline void ForBlocks(int64_t channels, const Action& action) {
  using Narrow = Types<8>::Vec;
  using Vec = Types<kWide ? 16 : 8>::Vec;
  constexpr int64_t kLanes = sizeof(Vec) / sizeof(float);
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) action.template operator()<Vec, 4>(c);
  for (; c + kLanes <= channels; c += kLanes) action.template operator()<Vec, 1>(c);
  if (kWide && c + 8 <= channels) {
    action.template operator()<Narrow, 1>(c);
    c += 8;
  }
  for (; c < channels; ++c) action.template operator()<Types<1>::Vec, 1>(c);
}
template <typename Vec>
constexpr int64_t kLanesOf = sizeof(Vec) / sizeof(float);

// Two sums per channel over many rows: in float over a short run of rows, in double beyond it.
template <typename Terms>
inline void AddPairs(int64_t rows, int64_t channels, double* first, double* second,
                     const Terms& terms) {
  const int64_t run =
      std::clamp<int64_t>(4096 / channels, 8, 256);  // stays in the first-level cache
  for (int64_t begin = 0; begin < rows; begin += run) {
    const int64_t end = std::min(rows, begin + run);
    ForBlocks(channels, [&]<typename Vec, int kVectors>(int64_t c) {
      Vec a[kVectors]{}, b[kVectors]{};
      for (int64_t row = begin; row < end; ++row) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          terms.template operator()<Vec>(row, c + v * kLanesOf<Vec>, a[v], b[v]);
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        AddTo(first + c + v * kLanesOf<Vec>, a[v]);
        AddTo(second + c + v * kLanesOf<Vec>, b[v]);
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

template <typename T>
void AddMoments(const T* x, int64_t rows, int64_t channels, const float* shift, double* sum,
                double* squares) {
  AddPairs(rows, channels, sum, squares,
           [&]<typename Vec>(int64_t row, int64_t c, Vec& first, Vec& second) {
             const Vec value = Load<Vec>(x + row * channels + c) - Load<Vec>(shift + c);
             first += value;
             second += value * value;
           });
}

template <typename T>
void Normalize(const T* x, int64_t rows, int64_t channels, const Affine& affine, T* y) {
  WithActivation(affine.act, [&]<Activation kAct>() {
    for (int64_t row = 0; row < rows; ++row) {
      ForBlocks(channels, [&]<typename Vec, int kVectors>(int64_t c) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v, c += kLanesOf<Vec>) {
          const int64_t at = row * channels + c;
          Store(y + at, Activate<kAct>(Load<Vec>(x + at) * Load<Vec>(affine.scale + c) +
                                       Load<Vec>(affine.offset + c)));
        }
      });
    }
  });
}

template <typename T>
void ActivationGradient(const T* x, const T* dy, int64_t rows, int64_t channels,
                        const Affine& affine, const float* mean, T* dz, double* sum,
                        double* product) {
  WithActivation(affine.act, [&]<Activation kAct>() {
    AddPairs(rows, channels, sum, product,
             [&]<typename Vec>(int64_t row, int64_t c, Vec& first, Vec& second) {
               const int64_t at = row * channels + c;
               const Vec value = Load<Vec>(x + at);
               const Vec d = ActivateBackward<kAct>(
                   value * Load<Vec>(affine.scale + c) + Load<Vec>(affine.offset + c),
                   Load<Vec>(dy + at));
               Store(dz + at, d);
               first += d;
               second += d * (value - Load<Vec>(mean + c));
             });
  });
}

template <typename T>
void Combine(const T* x, int64_t rows, int64_t channels, const Combination& combination, T* d) {
  for (int64_t row = 0; row < rows; ++row) {
    ForBlocks(channels, [&]<typename Vec, int kVectors>(int64_t c) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v, c += kLanesOf<Vec>) {
        const int64_t at = row * channels + c;
        Store(d + at, Load<Vec>(combination.a + c) * Load<Vec>(d + at) +
                          Load<Vec>(combination.b + c) * Load<Vec>(x + at) +
                          Load<Vec>(combination.c + c));
      }
    });
  }
}

template <typename T>
void Average(const T* x, int64_t pixels, int64_t channels, T* mean) {
  const float share = 1.0f / static_cast<float>(pixels);
  ForBlocks(channels, [&]<typename Vec, int kVectors>(int64_t c) {
    Vec sum[kVectors]{};
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sum[v] += Load<Vec>(x + pixel * channels + c + v * kLanesOf<Vec>);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) Store(mean + c + v * kLanesOf<Vec>, sum[v] * share);
  });
}

template <typename T>
void Scale(const T* x, const T* gate, int64_t pixels, int64_t channels, T* y) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    ForBlocks(channels, [&]<typename Vec, int kVectors>(int64_t c) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v, c += kLanesOf<Vec>)
        Store(y + pixel * channels + c, Load<Vec>(x + pixel * channels + c) * Load<Vec>(gate + c));
    });
  }
}

template <typename T>
void ScaleBackward(const T* x, const T* gate, const T* dy, int64_t pixels, int64_t channels, T* dx,
                   T* gate_gradient) {
  ForBlocks(channels, [&]<typename Vec, int kVectors>(int64_t c) {
    Vec sum[kVectors]{};
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = pixel * channels + c + v * kLanesOf<Vec>;
        const Vec d = Load<Vec>(dy + at);
        sum[v] += d * Load<Vec>(x + at);
        Store(dx + at, d * Load<Vec>(gate + c + v * kLanesOf<Vec>));
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) Store(gate_gradient + c + v * kLanesOf<Vec>, sum[v]);
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
      ForBlocks(s.channels, [&]<typename Vec, int kVectors>(int64_t c) {
        Vec sum[kVectors]{};
        for (int64_t ky = ky0; ky < ky1; ++ky) {
          for (int64_t kx = kx0; kx < kx1; ++kx) {
            const T* from = x + ((top + ky) * s.w + left + kx) * s.channels + c;
            const float* factor = weight + (ky * s.kernel + kx) * s.channels + c;
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v)
              sum[v] += Load<Vec>(from + v * kLanesOf<Vec>) * Load<Vec>(factor + v * kLanesOf<Vec>);
          }
        }
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) Store(out + c + v * kLanesOf<Vec>, sum[v]);
      });
    }
  }
}

template <typename T>
void DepthwiseBackwardData(const Depthwise& s, const T* dy, const float* weight, T* dx) {
  for (int64_t iy = 0; iy < s.h; ++iy) {
    for (int64_t ix = 0; ix < s.w; ++ix) {
      ForBlocks(s.channels, [&]<typename Vec, int kVectors>(int64_t c) {
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
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v)
              sum[v] += Load<Vec>(from + v * kLanesOf<Vec>) * Load<Vec>(factor + v * kLanesOf<Vec>);
          }
        }
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          Store(dx + (iy * s.w + ix) * s.channels + c + v * kLanesOf<Vec>, sum[v]);
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
      ForBlocks(s.channels, [&]<typename Vec, int kVectors>(int64_t c) {
        Vec sum[kVectors]{};
        for (int64_t oy = rows.begin; oy < rows.end; ++oy) {
          const T* in = x + ((oy * s.stride + ky - s.pad) * s.w + kx - s.pad) * s.channels + c;
          const T* out = dy + oy * s.out_w * s.channels + c;
          for (int64_t ox = columns.begin; ox < columns.end; ++ox) {
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) {
              sum[v] += Load<Vec>(in + ox * s.stride * s.channels + v * kLanesOf<Vec>) *
                        Load<Vec>(out + ox * s.channels + v * kLanesOf<Vec>);
            }
          }
        }
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          Store(total + c + v * kLanesOf<Vec>, Load<Vec>(total + c + v * kLanesOf<Vec>) + sum[v]);
      });
    }
  }
}

// Nothing overlaps; the compiler makes vectors of these by itself.
void SgdStep(const UpdateRule& rule, int64_t count, const float* __restrict g, float* __restrict p,
             float* __restrict m) {
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] + rule.decay * p[i];
    m[i] = rule.momentum * m[i] + gradient;
    p[i] -= rule.rate * (gradient + rule.momentum * m[i]);
  }
}

void AdamWStep(const UpdateRule& rule, int64_t count, const float* __restrict g,
               float* __restrict p, float* __restrict m, float* __restrict v) {
  for (int64_t i = 0; i < count; ++i) {
    m[i] = rule.momentum * m[i] + (1 - rule.momentum) * g[i];
    v[i] = rule.second * v[i] + (1 - rule.second) * g[i] * g[i];
    p[i] = p[i] * (1 - rule.decay) -
           rule.rate * m[i] / (__builtin_sqrtf(v[i] * rule.correction) + rule.epsilon);
  }
}

void RmsPropStep(const UpdateRule& rule, int64_t count, const float* __restrict g,
                 float* __restrict p, float* __restrict m, float* __restrict v) {
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] + rule.decay * p[i];
    v[i] = rule.second * v[i] + (1 - rule.second) * gradient * gradient;
    m[i] = rule.momentum * m[i] + rule.rate * gradient / __builtin_sqrtf(v[i] + rule.epsilon);
    p[i] -= m[i];
  }
}

#include "train/kernel_instances.inc"

}  // namespace lathe::train::kernels::LATHE_ISA
