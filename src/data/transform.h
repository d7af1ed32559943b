// From decoded pixels to network input: resize, crop, augment, normalise. Private to this module.
// Thread-safe.
#pragma once

#include <array>

#include "base/random.h"
#include "data/loader.h"

namespace lathe::data {

// The shorter side becomes `side`, the ratio stays. Averages when it shrinks, interpolates when it
// grows.
Image ResizeShorterSide(Image image, int side);

// The middle `side` x `side` pixels; no smaller image may come in.
Image CentreCrop(Image image, int side);

// A random part of 35-100 % of the area and ratio 3/4-4/3, resized to `side` x `side` (Szegedy et
// al. 2014).
Image RandomResizedCrop(const Image& image, int side, Random& random);

// Pixels to floats by Preprocessing, with the cheap augmentations on the way.
class PixelWriter {
 public:
  explicit PixelWriter(const Preprocessing& preprocessing);

  // `image` is resolution x resolution; a grey one fills all channels. `out`: resolution^2 *
  // channels. No augmentation if `random` is null.
  void Write(const Image& image, const Augmentation& augmentation, Random* random,
             float* out) const;

 private:
  void WriteRow(const uint8_t* row, int channels, int dx, bool flip, float* out) const;
  template <int kStep>
  void WriteChannel(const uint8_t* row, int dx, bool flip, int channel, float* out) const;
  void Erase(Random& random, float* out) const;

  int side_;
  int channels_;
  std::array<std::array<float, 256>, 3> values_;  // of every pixel value, by channel
};

}  // namespace lathe::data
