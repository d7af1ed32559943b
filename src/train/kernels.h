// Operations of a training step on the CPU that libtorch and oneDNN leave slow for small networks:
// batch norm fused with its activation (otherwise four passes over memory more), depthwise
// convolution (oneDNN's bfloat16 gradient at stride 2 takes 40 % of a step), and the passes of
// squeeze-and-excitation. Images are channels-last, so a tensor is a matrix of pixels x channels.
// Written for vectors of 8 and 16 channels; what is left of the channels goes one by one.
// Plain pointers, no torch. Thread-safe: callers give disjoint ranges to threads.
#pragma once

#include <cstdint>

#include "net/network.h"

namespace lathe::train::kernels {

// Whether this processor multiplies bfloat16; else it is slower than float.
bool HasBFloat16();

struct BFloat16 {  // the upper half of a float; layout of c10::BFloat16
  uint16_t bits;
};

struct Affine {  // act(scale * x + offset), by channel
  const float* scale;
  const float* offset;
  net::Activation act;
};

struct Combination {  // a * d + b * x + c, by channel
  const float *a, *b, *c;
};

struct Depthwise {  // a depthwise convolution; weights are {kernel, kernel, channels}
  int64_t channels, h, w, out_h, out_w;
  int kernel, stride, pad;  // pad: rows above and columns left
};

struct UpdateRule {  // of an optimizer's step; see train/optimizer.h
  float rate, momentum, decay;
  float second = 0, epsilon = 0;  // of the squares: weight of the old ones; what keeps from zero
  float correction = 1;           // of the squares' bias
};

#include "train/kernel_functions.inc"

}  // namespace lathe::train::kernels
