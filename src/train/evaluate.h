// Loss and accuracy of a module over a data set. Private to this module.
#pragma once

#include "data/loader.h"
#include "train/lanes.h"
#include "train/module.h"

namespace lathe::train {

struct Score {
  double loss = 0;      // mean cross-entropy, no smoothing
  double accuracy = 0;  // top-1, 0..1
};

// A loader's batch as channels-last images {n, c, h, w} on the compute device. On the CPU it
// borrows the batch's memory.
at::Tensor ImagesOf(const float* nhwc, int64_t count, net::Shape shape);

// Over what all processes of `group` (null: this one alone) load, each by its lanes.
Score Evaluate(Module& module, data::Loader& loader, net::Shape shape, Lanes& lanes,
               ProcessGroup* group);

}  // namespace lathe::train
