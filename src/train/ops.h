// The operations of train/kernels.h on tensors, with gradients. Where the kernels do not apply (a
// GPU, channels that are no multiple of 8, an old processor) the same is computed by torch's own
// operations. Private to this module.
#pragma once

#include <torch/types.h>

#include "net/graph.h"

namespace lathe::train {

at::Tensor Activate(net::Activation act, const at::Tensor& x);

struct NormTensors {
  at::Tensor gamma, beta;  // parameters
  at::Tensor mean, var;    // running statistics
};

class ProcessGroup;

struct NormMode {
  bool training = false;
  ProcessGroup* group = nullptr;  // the batch is what all its processes have; equal parts
};

// act(norm(x)). In training by the statistics of the batch, which are averaged into the running
// ones with weight 0.1. Otherwise `x` may be overwritten if no gradient is recorded.
at::Tensor NormActivate(const at::Tensor& x, const NormTensors& norm, const net::Node& node,
                        const NormMode& mode);

// The depthwise convolution of `node`, without bias; weight {channels, 1, k, k} in float, x float
// or bfloat16.
bool HasDepthwiseKernel(const net::Node& node, const at::Tensor& x);
at::Tensor DepthwiseConvolve(const at::Tensor& x, const at::Tensor& weight, const net::Node& node);

// {n, c, h, w} to its average {n, c, 1, 1}, and {n, c, h, w} times a gate {n, c, 1, 1}.
at::Tensor GlobalAverage(const at::Tensor& x);
at::Tensor ScaleChannels(const at::Tensor& x, const at::Tensor& gate);

}  // namespace lathe::train
