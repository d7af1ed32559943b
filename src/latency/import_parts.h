// What any part of a layer takes alone, by a table of timed convolutions. What is not in such a
// table is modelled on what is:
//   added input:  what the table says, or the convolution without it and the traffic of reading it,
//                 whichever is less. Early versions of TensorRT have the fused addition only in
//                 kernels that do not split deep reductions (V100, 3520 -> 704 at 10x10: 106 us
//                 with it, 29 us without); newer ones have not that gap, and none has to take it.
//   smaller than the table's smallest image (squeeze-and-excitation), linear: a 1x1 convolution of
//                 the smallest image, which reads its weights, too
//   grouped:      a convolution of as many inputs as one group has, which has the same weights and
//                 multiply-accumulates, and the traffic of the other inputs
//   pool, scale:  the table's shortest convolution and the traffic of the image
// Traffic goes at the rate of the convolutions that are best at it. Activations are free: engines
// fuse them.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "latency/import_conv_table.h"

namespace lathe::latency {

// Not thread-safe: it remembers what it was asked.
class PartsAlone {
 public:
  explicit PartsAlone(ConvTable table) : table_(std::move(table)) {}

  // Microseconds; nothing if the table has no convolution of this kernel and stride.
  std::optional<double> Predict(const Part& part);
  // Of the layer's parts in order. Throws kInput naming the part that cannot be predicted.
  std::vector<double> Predict(const net::Layer& layer);

 private:
  std::optional<double> Compute(const Part& part) const;
  std::optional<double> Convolution(const Part& part) const;
  double Traffic(double values) const { return values / table_.values_per_us(); }

  ConvTable table_;
  std::unordered_map<PartKey, std::optional<double>> known_;  // without activations
};

}  // namespace lathe::latency
