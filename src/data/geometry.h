// Sizes, crops and resampling of pictures: what happens before colours are touched. Private to this
// module. Thread-safe.
#pragma once

#include <opencv2/core.hpp>

#include "base/random.h"
#include "data/loader.h"

namespace lathe::data {

// A header over the same pixels.
cv::Mat AsMat(const ImageView& view);
ImageView AsView(const cv::Mat& mat);  // rows must be adjacent

// What a picture is brought to before any random choice, and what is cached of it.
struct Preparation {
  int side = 0;         // of the shorter side
  bool square = false;  // cut to its middle `crop` x `crop`; else a smaller picture stays as it is
  int crop = 0;

  bool operator==(const Preparation&) const = default;
};
// Evaluation resizes to resolution / crop and cuts the middle out. Random resized crops need so
// many pixels that the smallest of them is not enlarged: resolution / sqrt(crop_scale).
Preparation PreparationFor(const Preprocessing& preprocessing, const Augmentation& augmentation,
                           bool training);
// The picture itself where nothing is to be done, else it lies in `buffer`.
ImageView Prepare(const ImageView& picture, const Preparation& preparation, cv::Mat& buffer);

// A part of `least_share` to all of the area with ratio 3/4 to 4/3 (Szegedy et al. 2014), as
// torchvision and timm draw it: after ten attempts the largest fitting part in the middle.
cv::Rect RandomCrop(cv::Size picture, double least_share, Random& random);

// Mirrors if `flip`, then moves by (dx, dy); what comes in from outside is 0.
void FlipAndShift(const cv::Mat& from, bool flip, cv::Point shift, cv::Mat& to);

}  // namespace lathe::data
