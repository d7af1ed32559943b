#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "train/kernels.h"

namespace lathe::train {
namespace {

constexpr double kAdamBeta2 = 0.999, kAdamEps = 1e-8;
constexpr double kRmsAlpha = 0.9, kRmsEps = 1e-3;

}  // namespace

FlatOptimizer::FlatOptimizer(const Recipe& recipe, at::Tensor parameters, int64_t decayed)
    : recipe_(recipe),
      parameters_(std::move(parameters)),
      decayed_(parameters_.narrow(0, 0, decayed)) {
  buffers_.push_back(at::zeros_like(parameters_));
  if (recipe_.optimizer == Optimizer::kAdamW) buffers_.push_back(at::zeros_like(parameters_));
  if (recipe_.optimizer == Optimizer::kRmsPropTf) buffers_.push_back(at::ones_like(parameters_));
}

void FlatOptimizer::Step(at::Tensor& gradient, double learning_rate, int64_t step, int64_t begin,
                         int64_t end) {
  const at::NoGradGuard no_grad;
  if (parameters_.device().is_cpu()) {
    StepInOnePass(gradient, learning_rate, step, begin, end);
  } else {
    StepByTorch(gradient, learning_rate, step);
  }
}

void FlatOptimizer::StepInOnePass(const at::Tensor& gradient, double learning_rate, int64_t step,
                                  int64_t begin, int64_t end) {
  kernels::UpdateRule rule{.rate = static_cast<float>(learning_rate),
                           .momentum = static_cast<float>(recipe_.momentum),
                           .decay = static_cast<float>(recipe_.weight_decay)};
  if (recipe_.optimizer == Optimizer::kAdamW) {
    const Corrections corrections = CorrectionsOf(step);
    rule.rate = static_cast<float>(learning_rate / corrections.momentum);
    rule.decay = static_cast<float>(learning_rate * recipe_.weight_decay);
    rule.second = static_cast<float>(kAdamBeta2);
    rule.epsilon = static_cast<float>(kAdamEps);
    rule.correction = static_cast<float>(1 / corrections.squares);
  } else if (recipe_.optimizer == Optimizer::kRmsPropTf) {
    rule.second = static_cast<float>(kRmsAlpha);
    rule.epsilon = static_cast<float>(kRmsEps);
  }
  auto* p = parameters_.data_ptr<float>();
  auto* m = buffers_[0].data_ptr<float>();
  auto* v = buffers_.size() > 1 ? buffers_[1].data_ptr<float>() : nullptr;
  const auto* g = gradient.const_data_ptr<float>();
  const auto run = [&](int64_t first, int64_t last, const kernels::UpdateRule& own) {
    const int64_t count = last - first;
    if (count <= 0) return;
    if (recipe_.optimizer == Optimizer::kAdamW)
      return kernels::AdamWStep(own, count, g + first, p + first, m + first, v + first);
    if (recipe_.optimizer == Optimizer::kRmsPropTf)
      return kernels::RmsPropStep(own, count, g + first, p + first, m + first, v + first);
    kernels::SgdStep(own, count, g + first, p + first, m + first);
  };
  run(begin, std::min(end, decayed_.numel()), rule);
  rule.decay = 0;
  run(std::max(begin, decayed_.numel()), end, rule);
}

void FlatOptimizer::StepByTorch(at::Tensor& gradient, double learning_rate, int64_t step) {
  const double beta = recipe_.momentum;
  at::Tensor& momentum = buffers_[0];
  if (recipe_.optimizer == Optimizer::kAdamW) {
    at::Tensor& squares = buffers_[1];
    const Corrections corrections = CorrectionsOf(step);
    decayed_.mul_(1 - learning_rate * recipe_.weight_decay);
    momentum.lerp_(gradient, 1 - beta);
    squares.mul_(kAdamBeta2).addcmul_(gradient, gradient, 1 - kAdamBeta2);
    const at::Tensor root = squares.sqrt().div_(std::sqrt(corrections.squares)).add_(kAdamEps);
    parameters_.addcdiv_(momentum, root, -learning_rate / corrections.momentum);
    return;
  }
  gradient.narrow(0, 0, decayed_.numel()).add_(decayed_, recipe_.weight_decay);
  if (recipe_.optimizer == Optimizer::kRmsPropTf) {
    at::Tensor& squares = buffers_[1];
    squares.mul_(kRmsAlpha).addcmul_(gradient, gradient, 1 - kRmsAlpha);
    momentum.mul_(beta).addcdiv_(gradient, (squares + kRmsEps).sqrt_(), learning_rate);
    parameters_.sub_(momentum);
    return;
  }
  momentum.mul_(beta).add_(gradient);
  parameters_.sub_(gradient.add_(momentum, beta), learning_rate);
}

FlatOptimizer::Corrections FlatOptimizer::CorrectionsOf(int64_t step) const {
  const auto count = static_cast<double>(step + 1);
  return {1 - std::pow(recipe_.momentum, count), 1 - std::pow(kAdamBeta2, count)};
}

}  // namespace lathe::train
