// The operations of train/kernels.h on tensors, with gradients. Where the kernels do not apply (on
// a GPU) the same is computed by torch's own operations. Private to this module.
#pragma once

#include <torch/types.h>

#include "net/graph.h"

namespace lathe::train {

at::Tensor Activate(net::Activation act, const at::Tensor& x);

struct NormTensors {
  at::Tensor gamma, beta;  // parameters
  at::Tensor mean, var;    // running statistics
};

class Lanes;
class ProcessGroup;

// Those whose images a norm takes together: all lanes of this process, and of the others.
struct NormGroup {
  Lanes* lanes;
  int lane;                 // the caller's; the first one keeps the running statistics
  ProcessGroup* processes;  // of equally many images; null: this one alone
  int64_t images;           // of all
};

struct NormMode {
  bool training = false;
  const NormGroup* group = nullptr;  // null: the norm is over the caller's images
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
