#include <torch/autograd.h>

#include <cmath>

#include "train/lanes.h"
#include "train/op_helpers.h"
#include "train/ops.h"

namespace lathe::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kMomentum = 0.1;

// Two sums per channel, over the parts of a parallel loop and over the group if there is one: a row
// each. action(begin, end, first, second) adds to its part's.
template <typename Action>
at::Tensor SumParts(int64_t rows, int64_t channels, const NormGroup* group, const Action& action) {
  const at::Tensor parts = at::zeros({at::get_num_threads(), 2, channels}, at::kDouble);
  ForParts(rows, [&](int64_t part, int64_t begin, int64_t end) {
    auto* sums = parts.data_ptr<double>() + part * 2 * channels;
    action(begin, end, sums, sums + channels);
  });
  const at::Tensor total = parts.size(0) == 1 ? parts[0] : parts.sum(0);
  if (group != nullptr) {
    group->lanes->Sum(group->lane, {total.data_ptr<double>(), static_cast<size_t>(total.numel())},
                      group->processes);
  }
  return total;
}

// Values of which the norm takes the mean, per channel; `x` is the part that is here.
double CountOf(const at::Tensor& x, const NormGroup* group) {
  const int64_t images = group != nullptr ? group->images : x.size(0);
  return static_cast<double>(images * x.size(2) * x.size(3));
}

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

// What a pass backwards needs to know, by channel.
enum Row { kMean, kInverse, kScale, kOffset, kRows };  // 1 / deviation; y = act(scale * x + offset)

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& gamma, const at::Tensor& beta,
                            const at::Tensor& running_mean, const at::Tensor& running_var,
                            double eps, int64_t act, int64_t group_address) {
    const at::Tensor x = input.contiguous(kChannelsLast);
    const auto* group = reinterpret_cast<const NormGroup*>(group_address);
    const int64_t channels = x.size(1), rows = Pixels(x);
    const at::Tensor shift =
        running_mean.clone();  // near the mean, so that the difference of squares stays exact
    at::Tensor moments;
    WithType(x, [&]<typename T>(T) {
      moments = SumParts(rows, channels, group,
                         [&](int64_t begin, int64_t end, double* sum, double* squares) {
                           kernels::AddMoments(Data<T>(x) + begin * channels, end - begin, channels,
                                               shift.const_data_ptr<float>(), sum, squares);
                         });
    });
    const at::Tensor statistics = at::empty({kRows, channels}, at::kFloat);
    const double count = CountOf(x, group);
    const bool keeps = group == nullptr || group->lane == 0;
    const auto *sum = moments.const_data_ptr<double>(), *squares = sum + channels;
    const auto *g = Data<float>(gamma), *b = Data<float>(beta), *near = Data<float>(shift);
    auto *mean = Data<float>(statistics), *inverse = mean + kInverse * channels,
         *scale = mean + kScale * channels, *offset = mean + kOffset * channels;
    auto *kept_mean = Data<float>(running_mean), *kept_var = Data<float>(running_var);
    const auto keep = [&](float& running, double value) {
      running += static_cast<float>(kMomentum) * (static_cast<float>(value) - running);
    };
    for (int64_t c = 0; c < channels; ++c) {
      const double difference = sum[c] / count;
      const double variance = std::max(squares[c] / count - difference * difference, 0.0);
      mean[c] = static_cast<float>(difference + static_cast<double>(near[c]));
      inverse[c] = static_cast<float>(1 / std::sqrt(variance + eps));
      scale[c] = g[c] * inverse[c];
      offset[c] = b[c] - mean[c] * scale[c];
      if (!keeps) continue;
      keep(kept_mean[c], static_cast<double>(mean[c]));
      keep(kept_var[c], variance * (count / std::max(1.0, count - 1)));
    }
    const at::Tensor y = at::empty_like(x);
    RunNormalize(x, statistics[kScale], statistics[kOffset], static_cast<net::Activation>(act), y);
    context->save_for_backward({x, statistics});
    context->saved_data["act"] = act;
    context->saved_data["group"] = group_address;  // outlives the pass: the stepper's
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &statistics = saved[1];
    const auto act = static_cast<net::Activation>(context->saved_data["act"].toInt());
    const auto* group = reinterpret_cast<const NormGroup*>(context->saved_data["group"].toInt());
    const at::Tensor dy = gradients[0].contiguous(kChannelsLast);
    const at::Tensor dx = at::empty_like(x);
    const int64_t channels = x.size(1), rows = Pixels(x);
    const auto row = [&](Row of) { return statistics.const_data_ptr<float>() + of * channels; };
    const kernels::Affine affine{row(kScale), row(kOffset), act};
    const at::Tensor beta_gradient = at::empty({channels}, at::kFloat);
    const at::Tensor gamma_gradient = at::empty({channels}, at::kFloat);
    WithType(x, [&]<typename T>(T) {
      const at::Tensor sums = SumParts(
          rows, channels, group, [&](int64_t begin, int64_t end, double* first, double* second) {
            const int64_t at = begin * channels;
            kernels::ActivationGradient(Data<T>(x) + at, Data<T>(dy) + at, end - begin, channels,
                                        affine, row(kMean), Data<T>(dx) + at, first, second);
          });
      // dx = scale * (dz - mean(dz) - xhat * mean(dz * xhat)), xhat = (x - mean) * inverse
      const at::Tensor factors = at::empty({2, channels}, at::kFloat);
      const auto count = static_cast<float>(CountOf(x, group));
      const auto *sum = sums.const_data_ptr<double>(), *product = sum + channels;
      const auto *mean = row(kMean), *inverse = row(kInverse);
      auto *d_beta = Data<float>(beta_gradient), *d_gamma = Data<float>(gamma_gradient);
      auto *b = Data<float>(factors), *c = b + channels;
      for (int64_t i = 0; i < channels; ++i) {
        d_beta[i] = static_cast<float>(sum[i]);
        d_gamma[i] = static_cast<float>(product[i]) * inverse[i];
        b[i] = affine.scale[i] * inverse[i] * d_gamma[i] / -count;
        c[i] = affine.scale[i] * d_beta[i] / -count - b[i] * mean[i];
      }
      const kernels::Combination combination{affine.scale, b, c};
      ForParts(rows, [&](int64_t, int64_t begin, int64_t end) {
        const int64_t at = begin * channels;
        kernels::Combine(Data<T>(x) + at, end - begin, channels, combination, Data<T>(dx) + at);
      });
    });
    if (group == nullptr) return {dx, gamma_gradient, beta_gradient, {}, {}, {}, {}, {}};
    // The gradients are sums over the whole group already, and lanes and processes will be added
    // up.
    if (group->lane != 0) return {dx, {}, {}, {}, {}, {}, {}, {}};
    const double processes = group->processes != nullptr ? group->processes->size() : 1;
    return {dx, gamma_gradient / processes, beta_gradient / processes, {}, {}, {}, {}, {}};
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
  if (mode.training && mode.group != nullptr && mode.group->processes != nullptr)
    return Activate(node.act, SharedNorm(x, norm, eps, *mode.group->processes));
  return Activate(node.act, at::batch_norm(x, norm.gamma, norm.beta, norm.mean, norm.var,
                                           mode.training, kMomentum, eps, false));
}

}  // namespace lathe::train
