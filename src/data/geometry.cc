#include "data/geometry.h"

#include <algorithm>
#include <cmath>

#include "data/resize.h"

namespace lathe::data {

cv::Mat AsMat(const ImageView& view) {
  // OpenCV's threads would compete with the trainer's.
  static const bool once = (cv::setNumThreads(0), true);
  static_cast<void>(once);
  return cv::Mat(view.h, view.w, CV_8UC(view.c), const_cast<uint8_t*>(view.pixels));
}

ImageView AsView(const cv::Mat& mat) { return {mat.rows, mat.cols, mat.channels(), mat.data}; }

Preparation PreparationFor(const Preprocessing& preprocessing, const Augmentation& augmentation,
                           bool training) {
  const int resolution = preprocessing.resolution;
  if (training && augmentation.random_resized_crop) {
    const double side = resolution / std::sqrt(augmentation.crop_scale);
    return {.side = static_cast<int>(std::ceil(side))};
  }
  const double share = training ? 1 : preprocessing.crop;
  const auto side = static_cast<int>(std::lround(resolution / share));
  return {.side = std::max(side, resolution), .square = true, .crop = resolution};
}

// Of a strip only the middle can be seen in the end; resized as a whole it might fill the memory.
cv::Rect MiddleOfStrip(int h, int w) {
  constexpr int kMostRatio = 8;
  const int longest = kMostRatio * std::min(h, w);
  const cv::Size size(std::min(w, longest), std::min(h, longest));
  return {{(w - size.width) / 2, (h - size.height) / 2}, size};
}

ImageView Prepare(const ImageView& picture, const Preparation& preparation, cv::Mat& buffer) {
  if (const cv::Rect middle = MiddleOfStrip(picture.h, picture.w);
      preparation.square && middle.size() != cv::Size(picture.w, picture.h)) {
    const cv::Mat part = AsMat(picture)(middle).clone();
    return Prepare(AsView(part), preparation, buffer);
  }
  const int shorter = std::min(picture.h, picture.w), side = preparation.side;
  const bool fits = shorter == side || (shorter < side && !preparation.square);
  const auto scaled = [&](int length) {
    return std::max(side,
                    static_cast<int>(std::lround(static_cast<double>(length) * side / shorter)));
  };
  const int h = fits ? picture.h : scaled(picture.h), w = fits ? picture.w : scaled(picture.w);
  const int crop = preparation.crop;
  if (fits && (!preparation.square || (h == crop && w == crop))) return picture;
  if (fits) {
    AsMat(picture)(cv::Rect((w - crop) / 2, (h - crop) / 2, crop, crop)).copyTo(buffer);
    return AsView(buffer);
  }
  if (!preparation.square || (h == crop && w == crop)) {
    Resize(AsMat(picture), h, w, buffer);
    return AsView(buffer);
  }
  cv::Mat whole;
  Resize(AsMat(picture), h, w, whole);
  whole(cv::Rect((w - crop) / 2, (h - crop) / 2, crop, crop)).copyTo(buffer);
  return AsView(buffer);
}

cv::Rect RandomCrop(cv::Size picture, double least_share, Random& random) {
  const double area = picture.area();
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * (least_share + (1 - least_share) * random.Uniform());
    const double ratio = std::exp((2 * random.Uniform() - 1) * std::log(4.0 / 3.0));
    const auto w = static_cast<int>(std::lround(std::sqrt(target * ratio)));
    const auto h = static_cast<int>(std::lround(std::sqrt(target / ratio)));
    if (w < 1 || h < 1 || w > picture.width || h > picture.height) continue;
    const auto x = static_cast<int>(random.Below(static_cast<uint64_t>(picture.width - w + 1)));
    const auto y = static_cast<int>(random.Below(static_cast<uint64_t>(picture.height - h + 1)));
    return {x, y, w, h};
  }
  const auto longest = [](int other) {
    return std::max(1, static_cast<int>(std::lround(other * 4.0 / 3.0)));
  };
  const int w = std::min(picture.width, longest(picture.height));
  const int h = std::min(picture.height, longest(picture.width));
  return {(picture.width - w) / 2, (picture.height - h) / 2, w, h};
}

void FlipAndShift(const cv::Mat& from, bool flip, cv::Point shift, cv::Mat& to) {
  if (shift == cv::Point()) {
    if (flip) {
      cv::flip(from, to, 1);
    } else {
      from.copyTo(to);
    }
    return;
  }
  const cv::Rect frame({}, from.size());
  const cv::Rect target = (frame + shift) & frame;
  to.create(from.size(), from.type());
  to.setTo(cv::Scalar::all(0));
  if (target.empty()) return;
  cv::Rect source = target - shift;
  if (flip) source.x = from.cols - source.x - source.width;
  cv::Mat part = to(target);
  if (flip) {
    cv::flip(from(source), part, 1);
  } else {
    from(source).copyTo(part);
  }
}

}  // namespace lathe::data
