#include "data/rand_augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <span>

#include "data/colour.h"

namespace lathe::data {
namespace {

// `map` gives the place to read from, with pixel centres at half integers as in Pillow; OpenCV's
// are at integers.
void Warp(const cv::Matx23d& map, const cv::Scalar& fill, cv::Mat& picture, cv::Mat& buffer) {
  cv::Matx23d shifted = map;
  for (int row = 0; row < 2; ++row) {
    shifted(row, 2) += 0.5 * (map(row, 0) + map(row, 1)) - 0.5;
  }
  cv::warpAffine(picture, buffer, shifted, picture.size(), cv::INTER_LINEAR | cv::WARP_INVERSE_MAP,
                 cv::BORDER_CONSTANT, fill);
  cv::swap(picture, buffer);
}

// Counter-clockwise about the middle.
cv::Matx23d Rotation(double degrees, cv::Size size) {
  const double angle = degrees * std::numbers::pi / 180, c = std::cos(angle), s = std::sin(angle);
  const double x = size.width / 2.0, y = size.height / 2.0;
  return {c, -s, x - c * x + s * y, s, c, y - s * x - c * y};
}

float JitterFactor(double spread, Random& random) {
  const double low = std::max(0.0, 1 - spread), high = 1 + spread;
  return static_cast<float>(low + (high - low) * random.Uniform());
}

}  // namespace

double RandArgument(RandOperation operation, double level, bool negative) {
  const double share = level / 10, sign = negative ? -1 : 1;
  switch (operation) {
    case RandOperation::kAutoContrast:
    case RandOperation::kEqualize:
    case RandOperation::kInvert:
      return 0;
    case RandOperation::kRotate:
      return sign * share * 30;
    case RandOperation::kPosterize:
      return std::trunc(share * 4);
    case RandOperation::kSolarize:
      return std::min(256.0, std::trunc(share * 256));
    case RandOperation::kSolarizeAdd:
      return std::min(128.0, std::trunc(share * 110));
    case RandOperation::kColor:
    case RandOperation::kContrast:
    case RandOperation::kBrightness:
    case RandOperation::kSharpness:
      return share * 1.8 + 0.1;
    case RandOperation::kShearX:
    case RandOperation::kShearY:
      return sign * share * 0.3;
    case RandOperation::kTranslateX:
    case RandOperation::kTranslateY:
      return sign * share * 0.45;
  }
  return 0;
}

void ApplyRandOperation(RandOperation operation, double argument, const cv::Scalar& fill,
                        cv::Mat& picture, cv::Mat& buffer) {
  const auto factor = static_cast<float>(argument);
  const auto whole = static_cast<int>(argument);
  switch (operation) {
    case RandOperation::kAutoContrast:
      return AutoContrast(picture);
    case RandOperation::kEqualize:
      return Equalize(picture);
    case RandOperation::kInvert:
      return Invert(picture);
    case RandOperation::kRotate:
      return Warp(Rotation(argument, picture.size()), fill, picture, buffer);
    case RandOperation::kPosterize:
      return Posterize(whole, picture);
    case RandOperation::kSolarize:
      return Solarize(whole, picture);
    case RandOperation::kSolarizeAdd:
      return SolarizeAdd(whole, 128, picture);
    case RandOperation::kColor:
      return Saturation(factor, picture);
    case RandOperation::kContrast:
      return Contrast(factor, picture);
    case RandOperation::kBrightness:
      return Brightness(factor, picture);
    case RandOperation::kSharpness:
      return Sharpness(factor, picture, buffer);
    case RandOperation::kShearX:
      return Warp({1, argument, 0, 0, 1, 0}, fill, picture, buffer);
    case RandOperation::kShearY:
      return Warp({1, 0, 0, argument, 1, 0}, fill, picture, buffer);
    case RandOperation::kTranslateX:
      return Warp({1, 0, argument * picture.cols, 0, 1, 0}, fill, picture, buffer);
    case RandOperation::kTranslateY:
      return Warp({1, 0, 0, 0, 1, argument * picture.rows}, fill, picture, buffer);
  }
}

void RandAugment(const Augmentation& augmentation, const cv::Scalar& fill, Random& random,
                 cv::Mat& picture, cv::Mat& buffer) {
  for (int i = 0; i < augmentation.rand_augment; ++i) {
    const auto operation = static_cast<RandOperation>(random.Below(kRandOperations));
    if (random.Uniform() >= 0.5) continue;
    const double level = std::clamp(
        augmentation.rand_magnitude + augmentation.rand_deviation * random.Normal(), 0.0, 10.0);
    const bool negative = random.Uniform() < 0.5;
    ApplyRandOperation(operation, RandArgument(operation, level, negative), fill, picture, buffer);
  }
}

void ColourJitter(const Augmentation& augmentation, Random& random, cv::Mat& picture,
                  cv::Mat& buffer) {
  std::array<int, 4> order{0, 1, 2, 3};
  random.Shuffle(std::span<int>(order));
  for (const int which : order) {
    if (which == 0 && augmentation.brightness > 0) {
      Brightness(JitterFactor(augmentation.brightness, random), picture);
    } else if (which == 1 && augmentation.contrast > 0) {
      Contrast(JitterFactor(augmentation.contrast, random), picture);
    } else if (which == 2 && augmentation.saturation > 0) {
      Saturation(JitterFactor(augmentation.saturation, random), picture);
    } else if (which == 3 && augmentation.hue > 0) {
      Hue((2 * random.Uniform() - 1) * augmentation.hue, picture, buffer);
    }
  }
}

}  // namespace lathe::data
