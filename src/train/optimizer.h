// Update rules on one flat vector of parameters. Private to this module.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "train/recipe.h"

namespace lathe::train {

class FlatOptimizer {
 public:
  // The first `decayed` of `parameters` (updated in place) get weight decay.
  // sgd:        Nesterov momentum, decay added to the gradient (Sutskever et al. 2013, as in torch)
  // adamw:      beta1 = momentum, beta2 = 0.999, eps = 1e-8, decoupled decay (Loshchilov and
  //             Hutter 2019)
  // rmsprop-tf: alpha = 0.9, eps = 1e-3 inside the root, squares start at 1, momentum on the scaled
  //             step (TensorFlow's; timm)
  FlatOptimizer(const Recipe& recipe, at::Tensor parameters, int64_t decayed);

  // Updates [begin, end) of the parameters, so that threads can share the work; on a GPU it must be
  // all of them. `gradient`, of all, is used as scratch.
  void Step(at::Tensor& gradient, double learning_rate, int64_t step, int64_t begin, int64_t end);

  // What a checkpoint must keep: momentum, and squares except for SGD.
  const std::vector<at::Tensor>& buffers() const { return buffers_; }

 private:
  struct Corrections {  // of AdamW's averages, which start at zero
    double momentum, squares;
  };
  Corrections CorrectionsOf(int64_t step) const;
  // The same update twice: on a processor's vectors, reading and writing everything once, and by
  // torch's operations.
  void StepInOnePass(const at::Tensor& gradient, double learning_rate, int64_t step, int64_t begin,
                     int64_t end);
  void StepByTorch(at::Tensor& gradient, double learning_rate, int64_t step);

  const Recipe recipe_;
  at::Tensor parameters_, decayed_;
  std::vector<at::Tensor> buffers_;
};

}  // namespace lathe::train
