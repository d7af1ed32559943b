#include "data/augmenter.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "data/geometry.h"
#include "data/rand_augment.h"
#include "data/resize.h"

namespace lathe::data {
namespace {

// Erased pixels are noise (timm's mode "pixel"). To draw it anew costs more than all other steps
// together, so each row of a rectangle starts at a random place of one long table.
const std::vector<float>& Noise() {
  static const std::vector<float> noise = [] {
    std::vector<float> values(1 << 16);
    Random random(SubSeed(0, "random erasing"));
    for (float& value : values) value = static_cast<float>(random.Normal());
    return values;
  }();
  return noise;
}

}  // namespace

Augmenter::Augmenter(const Preprocessing& preprocessing, const Augmentation* augmentation)
    : side_(preprocessing.resolution),
      channels_(preprocessing.channels),
      augments_(augmentation != nullptr),
      augmentation_(augments_ ? *augmentation : Augmentation()) {
  if (channels_ != 1 && channels_ != 3) {
    throw Error(ErrorKind::kInput, "images need 1 or 3 channels, not {}", channels_);
  }
  const auto channels = static_cast<size_t>(channels_);
  const size_t row = static_cast<size_t>(side_) * channels;
  for (size_t i = 0; i < row; ++i) {
    const double mean = preprocessing.mean[i % channels], std = preprocessing.std[i % channels];
    scale_.push_back(static_cast<float>(1 / (255 * std)));
    bias_.push_back(static_cast<float>(-mean / std));
  }
  for (size_t c = 0; c < 3; ++c) {
    const double mean = preprocessing.mean[c % channels];
    fill_[static_cast<int>(c)] = std::clamp(std::round(255 * mean), 0.0, 255.0);
  }
}

void Augmenter::Write(const ImageView& prepared, Random& random, Workspace& workspace,
                      float* out) const {
  if (!augments_) return Normalise(prepared, out);
  cv::Mat &picture = workspace.picture, &buffer = workspace.buffer;
  cv::Mat whole = AsMat(prepared);  // still somebody else's
  if (augmentation_.random_resized_crop) {
    const cv::Rect crop = RandomCrop(whole.size(), augmentation_.crop_scale, random);
    Resize(whole(crop), side_, side_, picture);
    whole = picture;
  }
  const bool flip = augmentation_.flip && random.Uniform() < 0.5;
  cv::Point shift;
  if (augmentation_.pad_crop > 0) {
    const auto span = static_cast<uint64_t>(2 * augmentation_.pad_crop + 1);
    shift.x = static_cast<int>(random.Below(span)) - augmentation_.pad_crop;
    shift.y = static_cast<int>(random.Below(span)) - augmentation_.pad_crop;
  }
  const bool colours = augmentation_.rand_augment > 0 || augmentation_.brightness > 0 ||
                       augmentation_.contrast > 0 || augmentation_.saturation > 0 ||
                       augmentation_.hue > 0;
  const bool moves = flip || shift != cv::Point();
  const bool ours = whole.data == picture.data;
  if (moves || (colours && !ours)) {
    FlipAndShift(whole, flip, shift, buffer);
    cv::swap(picture, buffer);
    whole = picture;
  }
  if (colours) {
    RandAugment(augmentation_, fill_, random, picture, buffer);
    ColourJitter(augmentation_, random, picture, buffer);
    whole = picture;
  }
  Normalise(AsView(whole), out);
  if (random.Uniform() < augmentation_.random_erasing) Erase(random, out);
}

void Augmenter::Normalise(const ImageView& picture, float* out) const {
  const size_t row = scale_.size();
  const float *scale = scale_.data(), *bias = bias_.data();
  if (picture.c == channels_) {
    for (int y = 0; y < side_; ++y, out += row) {
      const uint8_t* from = picture.pixels + static_cast<size_t>(y) * row;
      for (size_t i = 0; i < row; ++i) out[i] = static_cast<float>(from[i]) * scale[i] + bias[i];
    }
    return;
  }
  const auto channels = static_cast<size_t>(channels_), side = static_cast<size_t>(side_);
  for (size_t y = 0; y < side; ++y, out += row) {
    const uint8_t* from = picture.pixels + y * side;
    for (size_t i = 0; i < row; ++i) {
      const size_t x = i / channels;
      out[i] = static_cast<float>(from[x]) * scale[i] + bias[i];
    }
  }
}

// A rectangle of 2-33 % of the area and ratio 0.3-3.3 (Zhong et al. 2017, as timm draws it).
void Augmenter::Erase(Random& random, float* out) const {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = (0.02 + (1.0 / 3 - 0.02) * random.Uniform()) * side_ * side_;
    const double ratio = std::exp((2 * random.Uniform() - 1) * std::log(10.0 / 3));
    const auto h = static_cast<int>(std::lround(std::sqrt(area * ratio)));
    const auto w = static_cast<int>(std::lround(std::sqrt(area / ratio)));
    if (w < 1 || h < 1 || w >= side_ || h >= side_) continue;
    const auto y = static_cast<std::ptrdiff_t>(random.Below(static_cast<uint64_t>(side_ - h + 1)));
    const auto x = static_cast<std::ptrdiff_t>(random.Below(static_cast<uint64_t>(side_ - w + 1)));
    const std::vector<float>& noise = Noise();
    const size_t size = static_cast<size_t>(w) * static_cast<size_t>(channels_);
    for (std::ptrdiff_t row = y; row < y + h; ++row) {
      const size_t start = random.Below(noise.size() - std::min(size, noise.size() - 1));
      std::copy_n(noise.data() + start, std::min(size, noise.size() - start),
                  out + (row * side_ + x) * channels_);
    }
    return;
  }
}

}  // namespace lathe::data
