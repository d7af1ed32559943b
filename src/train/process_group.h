// The processes that train one network together, each on its part of every batch: libtorch's
// process groups, gloo between processors and NCCL between GPUs. Every process must make the same
// calls in the same order. Private to this module. One thread at a time.
#pragma once

#include <torch/types.h>

#include <memory>

#include "train/trainer.h"

namespace lathe::train {

// The order in which lanes and processes are added up: calls add(into, from) for neighbours, then
// for pairs of them, until the first holds all. So the sum over four lanes is that over two
// processes of the sums of their two lanes.
template <typename Add>
void InPairs(int count, const Add& add) {
  for (int apart = 1; apart < count; apart *= 2) {
    for (int i = 0; i + apart < count; i += 2 * apart) add(i, i + apart);
  }
}

class ProcessGroup {
 public:
  // Blocks until all have come, up to five minutes. Throws kUnavailable if they do not.
  explicit ProcessGroup(const Parallel& parallel);
  ~ProcessGroup();
  int rank() const { return rank_; }
  int size() const { return size_; }

  // `tensor`, a vector, becomes the sum over all processes, on CPUs in pairs. Blocking; no
  // gradient. Throws kUnavailable when another process has died or does not answer within ten
  // minutes.
  void Sum(at::Tensor tensor);

 private:
  struct Impl;
  void SumInPairs(at::Tensor& vector);
  int rank_, size_;
  std::unique_ptr<Impl> impl_;
};

// The sum over all processes with a gradient: that of the sum of all their losses.
at::Tensor SumOver(ProcessGroup& group, const at::Tensor& x);

}  // namespace lathe::train
