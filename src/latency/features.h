// What a layer asks of the hardware: the quantities latency is made of, and the feature vector the
// regression sees.
#pragma once

#include <Eigen/Dense>

#include "net/network.h"

namespace lathe::latency {

// Work of one layer for one image, from the lowering that all back ends share.
struct Work {
  double dense_macs = 0;  // convolutions with groups < channels, linear layers
  double depthwise_macs = 0;
  double weights = 0;      // values read once
  double activations = 0;  // values read and written by all nodes
  double nodes = 0;        // kernels launched; an addition is fused into the convolution before it
  double mid = 0;          // values of the widest tensor inside
};
Work WorkOf(const net::Layer& layer);

constexpr int kWorkTerms = 5;
// {dense MACs, depthwise MACs, weights, activations, nodes}: latency is about a non-negative
// combination of these.
Eigen::Matrix<double, kWorkTerms, 1> WorkTerms(const Work& work);

// Logarithms of the work and shapes, kernel, stride, channels' remainders modulo 8 and 16 (vector
// lanes), one-hot activations. Always the same length.
Eigen::VectorXd Features(const net::Layer& layer, const Work& work);

}  // namespace lathe::latency
