#include "train/ops.h"

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include "train/kernels.h"

namespace lathe::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kMomentum = 0.1;
constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

bool HasKernels(const at::Tensor& x) {
  const bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  return x.device().is_cpu() && type && kernels::Supports(x.size(1));
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

int64_t Pixels(const at::Tensor& x) { return x.size(0) * x.size(2) * x.size(3); }

// Splits [0, count) between torch's threads, always in the same places: action(part, begin, end).
template <typename Action>
void ForParts(int64_t count, const Action& action) {
  const int64_t parts = std::min<int64_t>(count, at::get_num_threads());
  if (parts <= 1) return action(0, 0, count);
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) action(part, count * part / parts, count * (part + 1) / parts);
  });
}

// Sums over the parts of a parallel loop; action(begin, end, first, second) adds to its part's.
template <typename Action>
std::pair<at::Tensor, at::Tensor> SumParts(int64_t rows, int64_t channels, const Action& action) {
  const at::Tensor sums = at::zeros({2, at::get_num_threads(), channels}, at::kDouble);
  ForParts(rows, [&](int64_t part, int64_t begin, int64_t end) {
    auto* first = sums.data_ptr<double>() + part * channels;
    action(begin, end, first, first + sums.size(1) * channels);
  });
  const at::Tensor total = sums.sum(1);
  return {total[0], total[1]};
}

void RunNormalize(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset, net::Activation act,
                  const at::Tensor& y) {
  const int64_t channels = x.size(1);
  const kernels::Affine affine{scale.const_data_ptr<float>(), offset.const_data_ptr<float>(), act};
  WithType(x, [&]<typename T>(T) {
    ForParts(Pixels(x), [&](int64_t, int64_t begin, int64_t end) {
      kernels::Normalize(Data<T>(x) + begin * channels, end - begin, channels, affine, Data<T>(y) + begin * channels);
    });
  });
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& gamma,
                            const at::Tensor& beta, at::Tensor running_mean, at::Tensor running_var, double eps,
                            int64_t act) {
    const at::Tensor x = input.contiguous(kChannelsLast);
    const int64_t channels = x.size(1), rows = Pixels(x);
    const at::Tensor shift = running_mean.clone();  // near the mean, so that the difference of squares stays exact
    std::pair<at::Tensor, at::Tensor> moments;
    WithType(x, [&]<typename T>(T) {
      moments = SumParts(rows, channels, [&](int64_t begin, int64_t end, double* sum, double* squares) {
        kernels::AddMoments(Data<T>(x) + begin * channels, end - begin, channels, shift.const_data_ptr<float>(), sum, squares);
      });
    });
    const auto count = static_cast<double>(rows);
    const at::Tensor difference = moments.first / count;
    const at::Tensor variance = (moments.second / count - difference.square()).clamp_min_(0);
    const at::Tensor mean = (difference + shift).to(at::kFloat);
    const at::Tensor inverse = (variance + eps).rsqrt_().to(at::kFloat);
    running_mean.lerp_(mean, kMomentum);
    running_var.lerp_(variance.mul(count / std::max(1.0, count - 1)).to(at::kFloat), kMomentum);
    const at::Tensor scale = gamma * inverse;
    const at::Tensor offset = beta - mean * scale;
    const at::Tensor y = at::empty_like(x);
    RunNormalize(x, scale, offset, static_cast<net::Activation>(act), y);
    context->save_for_backward({x, mean, inverse, scale, offset});
    context->saved_data["act"] = act;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &mean = saved[1], &inverse = saved[2], &scale = saved[3], &offset = saved[4];
    const auto act = static_cast<net::Activation>(context->saved_data["act"].toInt());
    const at::Tensor dy = gradients[0].contiguous(kChannelsLast);
    const at::Tensor dx = at::empty_like(x);
    const int64_t channels = x.size(1), rows = Pixels(x);
    const kernels::Affine affine{scale.const_data_ptr<float>(), offset.const_data_ptr<float>(), act};
    at::Tensor beta_gradient, gamma_gradient;
    WithType(x, [&]<typename T>(T) {
      const auto [sum, product] = SumParts(rows, channels, [&](int64_t begin, int64_t end, double* first, double* second) {
        const int64_t at = begin * channels;
        kernels::AddGradientMoments(Data<T>(x) + at, Data<T>(dy) + at, end - begin, channels, affine,
                                    mean.const_data_ptr<float>(), first, second);
      });
      beta_gradient = sum.to(at::kFloat);
      gamma_gradient = product.to(at::kFloat) * inverse;
      // dx = scale * (dz - mean(dz) - xhat * mean(dz * xhat)), xhat = (x - mean) * inverse
      const at::Tensor b = scale * inverse * gamma_gradient / -static_cast<double>(rows);
      const at::Tensor c = scale * beta_gradient / -static_cast<double>(rows) - b * mean;
      const kernels::Combination combination{affine.scale, b.const_data_ptr<float>(), c.const_data_ptr<float>()};
      ForParts(rows, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * channels;
        kernels::NormalizeBackward(Data<T>(x) + at, Data<T>(dy) + at, end - begin, channels, affine, combination,
                                   Data<T>(dx) + at);
      });
    });
    return {dx, gamma_gradient, beta_gradient, {}, {}, {}, {}};
  }
};

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
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight, const net::Node& node) {
    const at::Tensor x = input.contiguous(kChannelsLast), taps = Taps(weight);
    const kernels::Depthwise shape = ShapeOf(node);
    const at::Tensor y = at::empty({x.size(0), shape.channels, shape.out_h, shape.out_w}, x.options(), kChannelsLast);
    WithType(x, [&]<typename T>(T) {
      ForParts(x.size(0), [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          kernels::DepthwiseForward(shape, Data<T>(x) + i * x.stride(0), taps.const_data_ptr<float>(),
                                    Data<T>(y) + i * y.stride(0));
        }
      });
    });
    context->save_for_backward({x, taps});
    context->saved_data["node"] = reinterpret_cast<int64_t>(&node);  // outlives the step: the module's
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &taps = saved[1];
    const kernels::Depthwise shape = ShapeOf(*reinterpret_cast<const net::Node*>(context->saved_data["node"].toInt()));
    const at::Tensor dy = gradients[0].contiguous(kChannelsLast);
    const at::Tensor dx = at::empty_like(x);
    const at::Tensor parts = at::zeros({at::get_num_threads(), taps.size(0), taps.size(1)}, at::kFloat);
    WithType(x, [&]<typename T>(T) {
      ForParts(x.size(0), [&](int64_t part, int64_t begin, int64_t end) {
        auto* gradient = parts.data_ptr<float>() + part * taps.numel();
        for (int64_t i = begin; i < end; ++i) {
          const T* dy_image = Data<T>(dy) + i * dy.stride(0);
          kernels::DepthwiseBackwardData(shape, dy_image, taps.const_data_ptr<float>(), Data<T>(dx) + i * dx.stride(0));
          kernels::DepthwiseBackwardWeight(shape, Data<T>(x) + i * x.stride(0), dy_image, gradient);
        }
      });
    });
    const at::Tensor gradient = parts.sum(0).t().reshape({shape.channels, 1, shape.kernel, shape.kernel});
    return {dx, gradient, {}};
  }
};

}  // namespace

at::Tensor Activate(net::Activation act, const at::Tensor& x) {
  switch (act) {
    case net::Activation::kNone: return x;
    case net::Activation::kRelu: return at::relu(x);
    case net::Activation::kRelu6: return at::hardtanh(x, 0, 6);
    case net::Activation::kSwish: return at::silu(x);
    case net::Activation::kHardSwish: return at::hardswish(x);
    case net::Activation::kSigmoid: return at::sigmoid(x);
    case net::Activation::kHardSigmoid: return at::hardsigmoid(x);
  }
  return x;
}

at::Tensor NormActivate(const at::Tensor& x, const NormTensors& norm, const net::Node& node, bool training) {
  const double eps = static_cast<double>(node.bn_eps);
  if (HasKernels(x) && training) {
    return NormFunction::apply(x, norm.gamma, norm.beta, norm.mean, norm.var, eps, static_cast<int64_t>(node.act));
  }
  if (HasKernels(x) && !at::GradMode::is_enabled() && x.is_contiguous(kChannelsLast)) {
    const at::Tensor scale = norm.gamma * (norm.var + eps).rsqrt();
    RunNormalize(x, scale, norm.beta - norm.mean * scale, node.act, x);
    return x;
  }
  return Activate(node.act, at::batch_norm(x, norm.gamma, norm.beta, norm.mean, norm.var, training, kMomentum, eps, false));
}

bool HasDepthwiseKernel(const net::Node& node, const at::Tensor& x) {
  return node.groups == node.in.c && node.groups == node.out.c && !node.bias && HasKernels(x);
}

at::Tensor DepthwiseConvolve(const at::Tensor& x, const at::Tensor& weight, const net::Node& node) {
  return DepthwiseFunction::apply(x, weight, node);
}

}  // namespace lathe::train
