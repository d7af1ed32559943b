// Resampling as Pillow's BILINEAR, which torchvision and timm use for training and evaluation: a
// triangle over all pixels that an output pixel covers, so that shrinking does not alias.
// OpenCV's INTER_AREA takes four times as long. Private to this module. Thread-safe.
#pragma once

#include <opencv2/core.hpp>

namespace lathe::data {

// `from`: 1 or 3 channels of 8 bits, may be a part of a picture. `to` is made h x w and may not
// share pixels with it. Within 1 of Pillow, which rounds once more.
void Resize(const cv::Mat& from, int h, int w, cv::Mat& to);

}  // namespace lathe::data
