// From a prepared picture to the network's input: random crop, flip, RandAugment, colour jitter,
// normalisation, random erasing, in this order. Private to this module. Thread-safe.
#pragma once

#include <opencv2/core.hpp>
#include <vector>

#include "base/random.h"
#include "data/loader.h"

namespace lathe::data {

// Buffers of one thread, kept from picture to picture.
struct Workspace {
  Image decoded;
  cv::Mat prepared, picture, buffer;
};

class Augmenter {
 public:
  // Throws kInput if there are neither 1 nor 3 channels. Without `augmentation` the pictures are
  // normalised alone, and have to have the resolution.
  Augmenter(const Preprocessing& preprocessing, const Augmentation* augmentation);

  // `out`: resolution^2 * channels floats. A grey picture fills all channels.
  void Write(const ImageView& prepared, Random& random, Workspace& workspace, float* out) const;

 private:
  void Normalise(const ImageView& picture, float* out) const;
  void Erase(Random& random, float* out) const;

  const int side_;
  const int channels_;
  const bool augments_;
  const Augmentation augmentation_;
  cv::Scalar fill_;                  // the mean colour
  std::vector<float> scale_, bias_;  // of a row of the output
};

}  // namespace lathe::data
