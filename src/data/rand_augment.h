// RandAugment (Cubuk et al. 2020) as timm's "rand-m9-mstd0.5" does it: the operations, ranges and
// probabilities of `_RAND_TRANSFORMS` in timm's auto_augment.py, bilinear. Private to this module.
// Thread-safe.
#pragma once

#include <opencv2/core.hpp>

#include "base/random.h"
#include "data/loader.h"

namespace lathe::data {

enum class RandOperation {
  kAutoContrast,
  kEqualize,
  kInvert,
  kRotate,
  kPosterize,
  kSolarize,
  kSolarizeAdd,
  kColor,
  kContrast,
  kBrightness,
  kSharpness,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
};
inline constexpr int kRandOperations = 15;

// What a level of 0-10 means: degrees, bits, a threshold, a factor, or a share of the side.
// Rotation, shear and translation go either way: `negative` says which.
double RandArgument(RandOperation operation, double level, bool negative);

// In place; `buffer` is for scratch. What a moved picture leaves free becomes `fill`.
void ApplyRandOperation(RandOperation operation, double argument, const cv::Scalar& fill,
                        cv::Mat& picture, cv::Mat& buffer);

// `augmentation.rand_augment` operations, drawn with replacement, each applied with probability 0.5
// at a level drawn round the magnitude.
void RandAugment(const Augmentation& augmentation, const cv::Scalar& fill, Random& random,
                 cv::Mat& picture, cv::Mat& buffer);

// Brightness, contrast, saturation and hue in random order, as torchvision's ColorJitter.
void ColourJitter(const Augmentation& augmentation, Random& random, cv::Mat& picture,
                  cv::Mat& buffer);

}  // namespace lathe::data
