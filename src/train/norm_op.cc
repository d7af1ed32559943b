#include <torch/autograd.h>

#include "train/op_helpers.h"
#include "train/ops.h"
#include "train/process_group.h"

namespace lathe::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kMomentum = 0.1;

// Sums over the parts of a parallel loop, and over the group's processes if there is one;
// action(begin, end, first, second) adds to its part's.
template <typename Action>
std::pair<at::Tensor, at::Tensor> SumParts(int64_t rows, int64_t channels, ProcessGroup* group,
                                           const Action& action) {
  const at::Tensor sums = at::zeros({2, at::get_num_threads(), channels}, at::kDouble);
  ForParts(rows, [&](int64_t part, int64_t begin, int64_t end) {
    auto* first = sums.data_ptr<double>() + part * channels;
    action(begin, end, first, first + sums.size(1) * channels);
  });
  const at::Tensor total = sums.sum(1);
  if (group != nullptr) group->Sum(total);
  return {total[0], total[1]};
}

int SizeOf(const ProcessGroup* group) { return group != nullptr ? group->size() : 1; }

void RunNormalize(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset,
                  net::Activation act, const at::Tensor& y) {
  const int64_t channels = x.size(1);
  const kernels::Affine affine{scale.const_data_ptr<float>(), offset.const_data_ptr<float>(), act};
  WithType(x, [&]<typename T>(T) {
    ForParts(Pixels(x), [&](int64_t, int64_t begin, int64_t end) {
      kernels::Normalize(Data<T>(x) + begin * channels, end - begin, channels, affine,
                         Data<T>(y) + begin * channels);
    });
  });
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& gamma, const at::Tensor& beta,
                            const at::Tensor& running_mean, const at::Tensor& running_var,
                            double eps, int64_t act, int64_t group_address) {
    const at::Tensor x = input.contiguous(kChannelsLast);
    auto* group = reinterpret_cast<ProcessGroup*>(group_address);
    const int64_t channels = x.size(1), rows = Pixels(x);
    const at::Tensor shift =
        running_mean.clone();  // near the mean, so that the difference of squares stays exact
    std::pair<at::Tensor, at::Tensor> moments;
    WithType(x, [&]<typename T>(T) {
      moments = SumParts(rows, channels, group,
                         [&](int64_t begin, int64_t end, double* sum, double* squares) {
                           kernels::AddMoments(Data<T>(x) + begin * channels, end - begin, channels,
                                               shift.const_data_ptr<float>(), sum, squares);
                         });
    });
    const double count = static_cast<double>(rows) * SizeOf(group);
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
    context->saved_data["group"] = group_address;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &mean = saved[1], &inverse = saved[2], &scale = saved[3],
                     &offset = saved[4];
    const auto act = static_cast<net::Activation>(context->saved_data["act"].toInt());
    auto* group = reinterpret_cast<ProcessGroup*>(context->saved_data["group"].toInt());
    const at::Tensor dy = gradients[0].contiguous(kChannelsLast);
    const at::Tensor dx = at::empty_like(x);
    const int64_t channels = x.size(1), rows = Pixels(x);
    const kernels::Affine affine{scale.const_data_ptr<float>(), offset.const_data_ptr<float>(),
                                 act};
    const double count = static_cast<double>(rows) * SizeOf(group);
    at::Tensor beta_gradient, gamma_gradient;
    WithType(x, [&]<typename T>(T) {
      const auto [sum, product] = SumParts(
          rows, channels, group, [&](int64_t begin, int64_t end, double* first, double* second) {
            const int64_t at = begin * channels;
            kernels::ActivationGradient(Data<T>(x) + at, Data<T>(dy) + at, end - begin, channels,
                                        affine, mean.const_data_ptr<float>(), Data<T>(dx) + at,
                                        first, second);
          });
      beta_gradient = sum.to(at::kFloat);
      gamma_gradient = product.to(at::kFloat) * inverse;
      // dx = scale * (dz - mean(dz) - xhat * mean(dz * xhat)), xhat = (x - mean) * inverse
      const at::Tensor b = scale * inverse * gamma_gradient / -count;
      const at::Tensor c = scale * beta_gradient / -count - b * mean;
      const kernels::Combination combination{affine.scale, b.const_data_ptr<float>(),
                                             c.const_data_ptr<float>()};
      ForParts(rows, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * channels;
        kernels::Combine(Data<T>(x) + at, end - begin, channels, combination, Data<T>(dx) + at);
      });
    });
    // These are sums over all processes already, which will be added up once more.
    if (group != nullptr) {
      gamma_gradient = gamma_gradient / group->size();
      beta_gradient = beta_gradient / group->size();
    }
    return {dx, gamma_gradient, beta_gradient, {}, {}, {}, {}, {}};
  }
};

// The norm over the images of all processes, by torch's own operations.
at::Tensor SharedNorm(const at::Tensor& input, const NormTensors& norm, double eps,
                      ProcessGroup& group) {
  const at::Tensor x = input.to(at::kFloat);
  const auto channel = [](const at::Tensor& values) { return values.view({1, -1, 1, 1}); };
  const double count = static_cast<double>(Pixels(x)) * group.size();
  const at::Tensor mean = SumOver(group, x.sum({0, 2, 3})) / count;
  const at::Tensor centred = x - channel(mean);
  const at::Tensor variance = SumOver(group, centred.square().sum({0, 2, 3})) / count;
  {
    const at::NoGradGuard no_grad;
    at::Tensor running_mean = norm.mean, running_var = norm.var;
    running_mean.lerp_(mean, kMomentum);
    running_var.lerp_(variance * (count / std::max(1.0, count - 1)), kMomentum);
  }
  const at::Tensor scale = norm.gamma * (variance + eps).rsqrt();
  return (centred * channel(scale) + channel(norm.beta)).to(input.scalar_type());
}

}  // namespace

at::Tensor Activate(net::Activation act, const at::Tensor& x) {
  switch (act) {
    case net::Activation::kNone:
      return x;
    case net::Activation::kRelu:
      return at::relu(x);
    case net::Activation::kRelu6:
      return at::hardtanh(x, 0, 6);
    case net::Activation::kSwish:
      return at::silu(x);
    case net::Activation::kHardSwish:
      return at::hardswish(x);
    case net::Activation::kSigmoid:
      return at::sigmoid(x);
    case net::Activation::kHardSigmoid:
      return at::hardsigmoid(x);
  }
  return x;
}

at::Tensor NormActivate(const at::Tensor& x, const NormTensors& norm, const net::Node& node,
                        const NormMode& mode) {
  const double eps = static_cast<double>(node.bn_eps);
  if (HasKernels(x) && mode.training) {
    return NormFunction::apply(x, norm.gamma, norm.beta, norm.mean, norm.var, eps,
                               static_cast<int64_t>(node.act),
                               reinterpret_cast<int64_t>(mode.group));
  }
  if (HasKernels(x) && !at::GradMode::is_enabled() && x.is_contiguous(kChannelsLast)) {
    const at::Tensor scale = norm.gamma * (norm.var + eps).rsqrt();
    RunNormalize(x, scale, norm.beta - norm.mean * scale, node.act, x);
    return x;
  }
  if (mode.training && mode.group != nullptr)
    return Activate(node.act, SharedNorm(x, norm, eps, *mode.group));
  return Activate(node.act, at::batch_norm(x, norm.gamma, norm.beta, norm.mean, norm.var,
                                           mode.training, kMomentum, eps, false));
}

}  // namespace lathe::train
