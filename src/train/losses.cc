#include "train/losses.h"

namespace lathe::train {

at::Tensor CrossEntropy(const at::Tensor& logits, const Targets& targets, double smoothing) {
  const auto loss = [&](const at::Tensor& labels, at::Reduction::Reduction reduction) {
    return at::cross_entropy_loss(logits, labels, {}, reduction, -100, smoothing);
  };
  if (!targets.partners.defined()) return loss(targets.labels, at::Reduction::Mean);
  // Linear in the labels' distribution, so that smoothing commutes with mixing.
  const at::Tensor first = loss(targets.labels, at::Reduction::None);
  const at::Tensor second = loss(targets.partners, at::Reduction::None);
  return (first * targets.shares + second * (1 - targets.shares)).mean();
}

at::Tensor DistillationLoss(const at::Tensor& logits, const at::Tensor& teacher,
                            const Distillation& distillation) {
  if (distillation.kind == Distillation::Kind::kHard) {
    return at::cross_entropy_loss(logits, teacher.argmax(1));
  }
  const double t = distillation.temperature;
  const at::Tensor student = at::log_softmax(logits / t, 1);
  const at::Tensor goal = at::log_softmax(teacher / t, 1);
  return (goal.exp() * (goal - student)).sum(1).mean() * (t * t);
}

}  // namespace lathe::train
