// What a training minimises: cross-entropy with smoothing and mixed labels, and the distance to a
// teacher's answers. Private to this module.
#pragma once

#include <torch/types.h>

#include "train/recipe.h"

namespace lathe::train {

// What a batch shows: image i is labels[i] by shares[i], the rest of it partners[i] (mixup,
// cutmix).
struct Targets {
  at::Tensor labels;            // {n}, long
  at::Tensor partners, shares;  // {n}, long and float; undefined: nothing is mixed
};

// Mean over the batch of -sum_c q(c) log p(c), where q is the labels' distribution smoothed by
// `smoothing` (Szegedy et al. 2016).
at::Tensor CrossEntropy(const at::Tensor& logits, const Targets& targets, double smoothing);

// Mean over the batch. kSoft: T^2 KL(teacher || student), both softened by T (Hinton et al. 2015).
// kHard: cross-entropy with the teacher's first choice (Touvron et al. 2021).
at::Tensor DistillationLoss(const at::Tensor& logits, const at::Tensor& teacher,
                            const Distillation& distillation);

}  // namespace lathe::train
