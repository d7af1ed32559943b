#include <torch/autograd.h>

#include "train/op_helpers.h"
#include "train/ops.h"

namespace lathe::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Calls action<T>(image) for every image of `x`, on torch's threads.
template <typename Action>
void ForImages(const at::Tensor& x, const Action& action) {
  WithType(x, [&]<typename T>(T type) {
    ForParts(x.size(0), [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) action(type, i);
    });
  });
}

at::Tensor PerChannel(const at::Tensor& x) {
  return at::empty({x.size(0), x.size(1), 1, 1}, x.options(), kChannelsLast);
}

int64_t ImagePixels(const at::Tensor& x) { return x.size(2) * x.size(3); }

struct AverageFunction : torch::autograd::Function<AverageFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input) {
    const at::Tensor x = input.contiguous(kChannelsLast), mean = PerChannel(x);
    const int64_t channels = x.size(1), pixels = ImagePixels(x);
    ForImages(x, [&]<typename T>(T, int64_t i) {
      kernels::Average(Data<T>(x) + i * pixels * channels, pixels, channels,
                       Data<T>(mean) + i * channels);
    });
    context->saved_data["shape"] = x.sizes();
    return mean;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const std::vector<int64_t> shape = context->saved_data["shape"].toIntVector();
    return {(gradients[0] / (shape[2] * shape[3])).expand(shape)};
  }
};

struct ScaleFunction : torch::autograd::Function<ScaleFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& input_gate) {
    const at::Tensor x = input.contiguous(kChannelsLast),
                     gate = input_gate.contiguous(kChannelsLast);
    const at::Tensor y = at::empty_like(x);
    const int64_t channels = x.size(1), pixels = ImagePixels(x);
    ForImages(x, [&]<typename T>(T, int64_t i) {
      const int64_t at = i * pixels * channels;
      kernels::Scale(Data<T>(x) + at, Data<T>(gate) + i * channels, pixels, channels,
                     Data<T>(y) + at);
    });
    context->save_for_backward({x, gate});
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &gate = saved[1];
    const at::Tensor dy = gradients[0].contiguous(kChannelsLast);
    const at::Tensor dx = at::empty_like(x), gate_gradient = at::empty_like(gate);
    const int64_t channels = x.size(1), pixels = ImagePixels(x);
    ForImages(x, [&]<typename T>(T, int64_t i) {
      const int64_t at = i * pixels * channels;
      kernels::ScaleBackward(Data<T>(x) + at, Data<T>(gate) + i * channels, Data<T>(dy) + at,
                             pixels, channels, Data<T>(dx) + at,
                             Data<T>(gate_gradient) + i * channels);
    });
    return {dx, gate_gradient};
  }
};

}  // namespace

at::Tensor GlobalAverage(const at::Tensor& x) {
  return HasKernels(x) ? AverageFunction::apply(x) : x.mean({2, 3}, true);
}

at::Tensor ScaleChannels(const at::Tensor& x, const at::Tensor& gate) {
  return HasKernels(x) && gate.scalar_type() == x.scalar_type() ? ScaleFunction::apply(x, gate)
                                                                : x * gate;
}

}  // namespace lathe::train
