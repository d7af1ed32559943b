#include <torch/autograd.h>

#include "train/op_helpers.h"
#include "train/ops.h"

namespace lathe::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

kernels::Depthwise ShapeOf(const net::Node& node) {
  return {.channels = node.in.c,
          .h = node.in.h,
          .w = node.in.w,
          .out_h = node.out.h,
          .out_w = node.out.w,
          .kernel = node.kernel,
          .stride = node.stride,
          .pad = node.pad_begin};
}

// {channels, 1, k, k} to {k * k, channels} and back.
at::Tensor Taps(const at::Tensor& weight) { return weight.flatten(1).t().contiguous(); }

struct DepthwiseFunction : torch::autograd::Function<DepthwiseFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const net::Node& node) {
    const at::Tensor x = input.contiguous(kChannelsLast), taps = Taps(weight);
    const kernels::Depthwise shape = ShapeOf(node);
    const at::Tensor y = at::empty({x.size(0), shape.channels, shape.out_h, shape.out_w},
                                   x.options(), kChannelsLast);
    WithType(x, [&]<typename T>(T) {
      ForParts(x.size(0), [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          kernels::DepthwiseForward(shape, Data<T>(x) + i * x.stride(0),
                                    taps.const_data_ptr<float>(), Data<T>(y) + i * y.stride(0));
        }
      });
    });
    context->save_for_backward({x, taps});
    context->saved_data["node"] =
        reinterpret_cast<int64_t>(&node);  // outlives the step: the module's
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &taps = saved[1];
    const kernels::Depthwise shape =
        ShapeOf(*reinterpret_cast<const net::Node*>(context->saved_data["node"].toInt()));
    const at::Tensor dy = gradients[0].contiguous(kChannelsLast);
    const at::Tensor dx = at::empty_like(x);
    const at::Tensor parts =
        at::zeros({at::get_num_threads(), taps.size(0), taps.size(1)}, at::kFloat);
    WithType(x, [&]<typename T>(T) {
      ForParts(x.size(0), [&](int64_t part, int64_t begin, int64_t end) {
        auto* gradient = parts.data_ptr<float>() + part * taps.numel();
        for (int64_t i = begin; i < end; ++i) {
          const T* dy_image = Data<T>(dy) + i * dy.stride(0);
          kernels::DepthwiseBackwardData(shape, dy_image, taps.const_data_ptr<float>(),
                                         Data<T>(dx) + i * dx.stride(0));
          kernels::DepthwiseBackwardWeight(shape, Data<T>(x) + i * x.stride(0), dy_image, gradient);
        }
      });
    });
    const at::Tensor gradient =
        parts.sum(0).t().reshape({shape.channels, 1, shape.kernel, shape.kernel});
    return {dx, gradient, {}};
  }
};

}  // namespace

bool HasDepthwiseKernel(const net::Node& node, const at::Tensor& x) {
  return node.groups == node.in.c && node.groups == node.out.c && !node.bias && HasKernels(x);
}

at::Tensor DepthwiseConvolve(const at::Tensor& x, const at::Tensor& weight, const net::Node& node) {
  return DepthwiseFunction::apply(x, weight, node);
}

}  // namespace lathe::train
