// One pass of a training, forwards and backwards, as a CUDA graph: a small network is trained by
// hundreds of kernels that take longer to start than to run, and a graph starts them all at once.
// Private to this module. One thread at a time.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "train/losses.h"
#include "train/module.h"

namespace lathe::train {

// What differs from pass to pass. Copies have the same shapes and devices.
struct PassInput {
  at::Tensor images;  // {n, c, h, w}, channels-last
  Targets targets;
  double share = 1;  // of this pass in its step's loss
  at::Tensor scale;  // {}, what gradients are multiplied by; undefined: nothing

  bool HasShapeOf(const PassInput& other) const;
};

// Adds to the gradient; returns the pass's share of the loss, a scalar. All it draws at random are
// masks, and those it takes from the tape (TrainingPass::tape).
using PassWork = std::function<at::Tensor(const PassInput& input, MaskTape& tape)>;

class RecordedPass {
 public:
  virtual ~RecordedPass() = default;
  // Whether it can stand for a pass with this input.
  virtual bool Fits(const PassInput& input) const = 0;
  // What `work` would do and return. Of `pass`, its place in the batch and its generator count: the
  // same random numbers are drawn as without a record.
  virtual at::Tensor Run(const PassInput& input, const TrainingPass& pass) = 0;
};

// Records without running anything; `work` must have run a few times, since libraries prepare
// themselves in their first calls. `masks` are what it draws. Throws c10::Error if something in it
// cannot be recorded. Only on the GPU that ComputeDevice() is.
std::unique_ptr<RecordedPass> RecordPass(const PassInput& like, std::vector<DropMask> masks,
                                         const PassWork& work);

}  // namespace lathe::train
