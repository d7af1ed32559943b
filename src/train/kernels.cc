#include "train/kernels.h"

#include "train/kernels_isa.h"

namespace lathe::train::kernels {
namespace {

#ifdef LATHE_X86
bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}
bool HasAvx512() {
  static const bool has = HasAvx2() && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has;
}
#endif

}  // namespace

bool HasBFloat16() {
#ifdef LATHE_X86
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

#ifdef LATHE_X86
#define LATHE_CHOOSE(call) (HasAvx512() ? avx512::call : HasAvx2() ? avx2::call : plain::call)
#else
#define LATHE_CHOOSE(call) plain::call
#endif

template <typename T>
void AddMoments(const T* x, int64_t rows, int64_t channels, const float* shift, double* sum,
                double* squares) {
  LATHE_CHOOSE(AddMoments(x, rows, channels, shift, sum, squares));
}

template <typename T>
void Normalize(const T* x, int64_t rows, int64_t channels, const Affine& affine, T* y) {
  LATHE_CHOOSE(Normalize(x, rows, channels, affine, y));
}

template <typename T>
void ActivationGradient(const T* x, const T* dy, int64_t rows, int64_t channels,
                        const Affine& affine, const float* mean, T* dz, double* sum,
                        double* product) {
  LATHE_CHOOSE(ActivationGradient(x, dy, rows, channels, affine, mean, dz, sum, product));
}

template <typename T>
void Combine(const T* x, int64_t rows, int64_t channels, const Combination& combination, T* d) {
  LATHE_CHOOSE(Combine(x, rows, channels, combination, d));
}

template <typename T>
void Average(const T* x, int64_t pixels, int64_t channels, T* mean) {
  LATHE_CHOOSE(Average(x, pixels, channels, mean));
}

template <typename T>
void Scale(const T* x, const T* gate, int64_t pixels, int64_t channels, T* y) {
  LATHE_CHOOSE(Scale(x, gate, pixels, channels, y));
}

template <typename T>
void ScaleBackward(const T* x, const T* gate, const T* dy, int64_t pixels, int64_t channels, T* dx,
                   T* gate_gradient) {
  LATHE_CHOOSE(ScaleBackward(x, gate, dy, pixels, channels, dx, gate_gradient));
}

template <typename T>
void DepthwiseForward(const Depthwise& shape, const T* x, const float* weight, T* y) {
  LATHE_CHOOSE(DepthwiseForward(shape, x, weight, y));
}

template <typename T>
void DepthwiseBackwardData(const Depthwise& shape, const T* dy, const float* weight, T* dx) {
  LATHE_CHOOSE(DepthwiseBackwardData(shape, dy, weight, dx));
}

template <typename T>
void DepthwiseBackwardWeight(const Depthwise& shape, const T* x, const T* dy, float* gradient) {
  LATHE_CHOOSE(DepthwiseBackwardWeight(shape, x, dy, gradient));
}

void SgdStep(const UpdateRule& rule, int64_t count, const float* g, float* p, float* m) {
  LATHE_CHOOSE(SgdStep(rule, count, g, p, m));
}

void AdamWStep(const UpdateRule& rule, int64_t count, const float* g, float* p, float* m,
               float* v) {
  LATHE_CHOOSE(AdamWStep(rule, count, g, p, m, v));
}

void RmsPropStep(const UpdateRule& rule, int64_t count, const float* g, float* p, float* m,
                 float* v) {
  LATHE_CHOOSE(RmsPropStep(rule, count, g, p, m, v));
}

#include "train/kernel_instances.inc"

}  // namespace lathe::train::kernels
