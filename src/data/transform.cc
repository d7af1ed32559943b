#include "data/transform.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "base/error.h"

namespace lathe::data {
namespace {

// OpenCV's threads would compete with the trainer's.
cv::Mat View(const Image& image) {
  static const bool once = (cv::setNumThreads(0), true);
  static_cast<void>(once);
  return cv::Mat(image.h, image.w, CV_8UC(image.c), const_cast<uint8_t*>(image.pixels.data()));
}

Image Resize(const cv::Mat& from, int h, int w) {
  Image to{h, w, from.channels(), {}};
  to.pixels.resize(static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(to.c));
  cv::Mat target = View(to);
  const bool shrinks = h < from.rows || w < from.cols;
  cv::resize(from, target, target.size(), 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
  return to;
}

}  // namespace

Image ResizeShorterSide(Image image, int side) {
  const int shorter = std::min(image.h, image.w);
  if (shorter == side) return image;
  const auto scaled = [&](int length) {
    return std::max(side,
                    static_cast<int>(std::lround(static_cast<double>(length) * side / shorter)));
  };
  return Resize(View(image), scaled(image.h), scaled(image.w));
}

Image CentreCrop(Image image, int side) {
  if (image.h == side && image.w == side) return image;
  if (image.h < side || image.w < side) {
    throw Error(ErrorKind::kInternal, "crop of {} px from {} x {} px", side, image.h, image.w);
  }
  const cv::Rect middle((image.w - side) / 2, (image.h - side) / 2, side, side);
  Image crop{side, side, image.c, {}};
  crop.pixels.resize(static_cast<size_t>(side) * static_cast<size_t>(side) *
                     static_cast<size_t>(image.c));
  cv::Mat target = View(crop);
  View(image)(middle).copyTo(target);
  return crop;
}

Image RandomResizedCrop(const Image& image, int side, Random& random) {
  const double area = static_cast<double>(image.h) * image.w;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * (0.35 + 0.65 * random.Uniform());
    const double ratio = std::exp((2 * random.Uniform() - 1) * std::log(4.0 / 3.0));
    const auto w = static_cast<int>(std::lround(std::sqrt(target * ratio)));
    const auto h = static_cast<int>(std::lround(std::sqrt(target / ratio)));
    if (w < 1 || h < 1 || w > image.w || h > image.h) continue;
    const auto x = static_cast<int>(random.Below(static_cast<uint64_t>(image.w - w + 1)));
    const auto y = static_cast<int>(random.Below(static_cast<uint64_t>(image.h - h + 1)));
    return Resize(View(image)(cv::Rect(x, y, w, h)), side, side);
  }
  return CentreCrop(ResizeShorterSide(image, side), side);
}

PixelWriter::PixelWriter(const Preprocessing& preprocessing)
    : side_(preprocessing.resolution), channels_(preprocessing.channels), values_{} {
  if (channels_ != 1 && channels_ != 3) {
    throw Error(ErrorKind::kInput, "images need 1 or 3 channels, not {}", channels_);
  }
  for (size_t c = 0; c < static_cast<size_t>(channels_); ++c) {
    for (size_t value = 0; value < 256; ++value) {
      values_[c][value] =
          (static_cast<float>(value) / 255.0f - preprocessing.mean[c]) / preprocessing.std[c];
    }
  }
}

void PixelWriter::Write(const Image& image, const Augmentation& augmentation, Random* random,
                        float* out) const {
  int dx = 0, dy = 0;
  bool flip = false;
  if (random != nullptr) {
    flip = augmentation.flip && random->Uniform() < 0.5;
    if (augmentation.pad_crop > 0) {
      const auto span = static_cast<uint64_t>(2 * augmentation.pad_crop + 1);
      dx = static_cast<int>(random->Below(span)) - augmentation.pad_crop;
      dy = static_cast<int>(random->Below(span)) - augmentation.pad_crop;
    }
  }
  const std::ptrdiff_t row_size = std::ptrdiff_t{side_} * channels_;
  for (int y = 0; y < side_; ++y) {
    const int from = y + dy;
    const bool inside = from >= 0 && from < side_;
    const uint8_t* row =
        inside ? image.pixels.data() + std::ptrdiff_t{from} * side_ * image.c : nullptr;
    WriteRow(row, image.c, dx, flip, out + y * row_size);
  }
  if (random != nullptr && random->Uniform() < augmentation.random_erasing) Erase(*random, out);
}

// `row` null: padding.
void PixelWriter::WriteRow(const uint8_t* row, int channels, int dx, bool flip, float* out) const {
  if (channels_ == 1) return WriteChannel<1>(row, dx, flip, 0, out);
  const bool grey = channels == 1;  // then the one channel serves all
  for (int c = 0; c < channels_; ++c) {
    const uint8_t* from = row == nullptr || grey ? row : row + c;
    if (grey) {
      WriteChannel<1>(from, dx, flip, c, out + c);
    } else {
      WriteChannel<3>(from, dx, flip, c, out + c);
    }
  }
}

// Output pixel x comes from pixel x + dx, or from the mirrored one plus dx; what lies outside is
// padding. `kStep`: bytes from pixel to pixel.
template <int kStep>
void PixelWriter::WriteChannel(const uint8_t* row, int dx, bool flip, int channel,
                               float* out) const {
  const std::array<float, 256>& values = values_[static_cast<size_t>(channel)];
  const int shift = flip ? -dx : dx;
  const int begin = row == nullptr ? side_ : std::clamp(-shift, 0, side_);
  const int end = row == nullptr ? side_ : std::clamp(side_ - shift, 0, side_);
  for (int x = 0; x < begin; ++x) out[x * channels_] = values[0];
  if (begin == side_) return;
  const uint8_t* from = row + (flip ? side_ - 1 - begin + dx : begin + dx) * kStep;
  const int step = flip ? -kStep : kStep;
  for (int x = begin; x < end; ++x, from += step) out[x * channels_] = values[*from];
  for (int x = end; x < side_; ++x) out[x * channels_] = values[0];
}

// A rectangle of 2-33 % of the area becomes the mean (Zhong et al. 2017).
void PixelWriter::Erase(Random& random, float* out) const {
  const double area = (0.02 + 0.31 * random.Uniform()) * side_ * side_;
  const double ratio = std::exp((2 * random.Uniform() - 1) * std::log(10.0 / 3.0));
  const int h = std::clamp(static_cast<int>(std::lround(std::sqrt(area * ratio))), 1, side_);
  const int w = std::clamp(static_cast<int>(std::lround(std::sqrt(area / ratio))), 1, side_);
  const auto y = static_cast<std::ptrdiff_t>(random.Below(static_cast<uint64_t>(side_ - h + 1)));
  const auto x = static_cast<std::ptrdiff_t>(random.Below(static_cast<uint64_t>(side_ - w + 1)));
  for (std::ptrdiff_t row = y; row < y + h; ++row) {
    std::fill_n(out + (row * side_ + x) * channels_, w * channels_, 0.0f);
  }
}

}  // namespace lathe::data
