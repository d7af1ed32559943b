// What the operations of train/ops.h share: element types and threads. Private to this module.
#pragma once

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>

#include "train/kernels.h"

namespace lathe::train {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

inline bool HasKernels(const at::Tensor& x) {
  const bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  return x.device().is_cpu() && type;
}

// Calls action(pointer) with the tensor's element type.
template <typename Action>
void WithType(const at::Tensor& x, const Action& action) {
  if (x.scalar_type() == at::kFloat) return action(float{});
  return action(kernels::BFloat16{});
}

template <typename T>
T* Data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

inline int64_t Pixels(const at::Tensor& x) { return x.size(0) * x.size(2) * x.size(3); }

// Splits [0, count) between torch's threads, always in the same places: action(part, begin, end).
template <typename Action>
void ForParts(int64_t count, const Action& action) {
  const int64_t parts = std::min<int64_t>(count, at::get_num_threads());
  if (parts <= 1) return action(0, 0, count);
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part)
      action(part, count * part / parts, count * (part + 1) / parts);
  });
}

}  // namespace lathe::train
