// Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) of a batch, as timm mixes in mode "batch":
// one share for all of it. Private to this module. Thread-safe.
#pragma once

#include "base/random.h"
#include "data/loader.h"

namespace lathe::data {

struct Box {
  int x = 0, y = 0, w = 0, h = 0;
};

// What happens to a whole batch. Image i is mixed with image i ^ 1 of the batch of all shards.
struct BatchMix {
  bool cut = false;  // `box` is swapped; else both images are averaged
  float share = 1;   // of the own image
  Box box;
};

// Draws it; `side` is that of the images. With mixup and cutmix each is taken half the time.
BatchMix DrawMix(const Augmentation& augmentation, int side, Random& random);

// Mixes two images of side x side x channels with each other.
void MixPair(const BatchMix& mix, int side, int channels, float* a, float* b);

double Beta(double alpha, double beta, Random& random);

}  // namespace lathe::data
