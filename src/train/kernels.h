// Operations of a training step on the CPU that libtorch and oneDNN leave slow for small networks:
// batch norm fused with its activation (otherwise four passes over memory more), depthwise
// convolution (oneDNN's bfloat16 gradient at stride 2 takes 40 % of a step), and the passes of
// squeeze-and-excitation. Images are channels-last, so a tensor is a matrix of pixels x channels.
// Plain pointers, no torch. Thread-safe: callers give disjoint ranges to threads.
#pragma once

#include <cstdint>

#include "net/network.h"

namespace lathe::train::kernels {

// Whether this processor has what the kernels are written for, and `channels` is a whole number of
// its vectors.
bool Supports(int64_t channels);

// Whether this processor multiplies bfloat16; else it is slower than float.
bool HasBFloat16();

struct BFloat16 {  // the upper half of a float; layout of c10::BFloat16
  uint16_t bits;
};

// Adds to `sum` and `squares` the sums over `rows` pixels of (x - shift) and (x - shift)^2, by
// channel.
template <typename T>
void AddMoments(const T* x, int64_t rows, int64_t channels, const float* shift, double* sum,
                double* squares);

// y = act(scale * x + offset); may work in place.
struct Affine {
  const float* scale;
  const float* offset;
  net::Activation act;
};
template <typename T>
void Normalize(const T* x, int64_t rows, int64_t channels, const Affine& affine, T* y);

// dz = dy * act'(scale * x + offset); adds to `sum` the sums of dz and to `product` those of dz *
// (x - mean).
template <typename T>
void ActivationGradient(const T* x, const T* dy, int64_t rows, int64_t channels,
                        const Affine& affine, const float* mean, T* dz, double* sum,
                        double* product);

// d = a * d + b * x + c, by channel: what is left of the norm's gradient, in place.
struct Combination {
  const float *a, *b, *c;
};
template <typename T>
void Combine(const T* x, int64_t rows, int64_t channels, const Combination& combination, T* d);

// Of one image: mean = the average over its `pixels`.
template <typename T>
void Average(const T* x, int64_t pixels, int64_t channels, T* mean);

// Of one image: y = gate * x; and its gradients, gate_gradient = the sum of dy * x and dx = gate *
// dy.
template <typename T>
void Scale(const T* x, const T* gate, int64_t pixels, int64_t channels, T* y);
template <typename T>
void ScaleBackward(const T* x, const T* gate, const T* dy, int64_t pixels, int64_t channels, T* dx,
                   T* gate_gradient);

// A depthwise convolution of one image; weights are {kernel, kernel, channels}.
struct Depthwise {
  int64_t channels, h, w, out_h, out_w;
  int kernel, stride, pad;  // pad: rows above and columns left
};
template <typename T>
void DepthwiseForward(const Depthwise& shape, const T* x, const float* weight, T* y);
template <typename T>
void DepthwiseBackwardData(const Depthwise& shape, const T* dy, const float* weight, T* dx);
// Adds to `gradient`.
template <typename T>
void DepthwiseBackwardWeight(const Depthwise& shape, const T* x, const T* dy, float* gradient);

}  // namespace lathe::train::kernels
