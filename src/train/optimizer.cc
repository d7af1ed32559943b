#include "train/optimizer.h"

#include <cmath>

namespace lathe::train {

FlatOptimizer::FlatOptimizer(const Recipe& recipe, at::Tensor parameters, int64_t decayed)
    : recipe_(recipe),
      parameters_(std::move(parameters)),
      decayed_(parameters_.narrow(0, 0, decayed)) {
  buffers_.push_back(at::zeros_like(parameters_));
  if (recipe_.optimizer == Optimizer::kAdamW) buffers_.push_back(at::zeros_like(parameters_));
  if (recipe_.optimizer == Optimizer::kRmsPropTf) buffers_.push_back(at::ones_like(parameters_));
}

void FlatOptimizer::Step(at::Tensor& gradient, double learning_rate, int64_t step) {
  const at::NoGradGuard no_grad;
  const double beta = recipe_.momentum;
  at::Tensor& momentum = buffers_[0];
  if (recipe_.optimizer == Optimizer::kAdamW) {
    constexpr double kBeta2 = 0.999, kEps = 1e-8;
    at::Tensor& squares = buffers_[1];
    decayed_.mul_(1 - learning_rate * recipe_.weight_decay);
    momentum.lerp_(gradient, 1 - beta);
    squares.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    const auto count = static_cast<double>(step + 1);
    const double first = 1 - std::pow(beta, count), second = 1 - std::pow(kBeta2, count);
    const at::Tensor root = squares.sqrt().div_(std::sqrt(second)).add_(kEps);
    parameters_.addcdiv_(momentum, root, -learning_rate / first);
    return;
  }
  gradient.narrow(0, 0, decayed_.numel()).add_(decayed_, recipe_.weight_decay);
  if (recipe_.optimizer == Optimizer::kRmsPropTf) {
    constexpr double kAlpha = 0.9, kEps = 1e-3;
    at::Tensor& squares = buffers_[1];
    squares.mul_(kAlpha).addcmul_(gradient, gradient, 1 - kAlpha);
    momentum.mul_(beta).addcdiv_(gradient, (squares + kEps).sqrt_(), learning_rate);
    parameters_.sub_(momentum);
    return;
  }
  momentum.mul_(beta).add_(gradient);
  parameters_.sub_(gradient.add_(momentum, beta), learning_rate);
}

}  // namespace lathe::train
