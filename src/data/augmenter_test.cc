#include "data/augmenter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "data/geometry.h"
#include "data/mix.h"
#include "data/raw_testing.h"

namespace lathe::data {
namespace {

std::vector<int> Written(const Augmenter& augmenter, const Image& image, uint64_t seed,
                         size_t size) {
  Random random(seed);
  Workspace workspace;
  std::vector<float> out(size);
  augmenter.Write(image, random, workspace, out.data());
  std::vector<int> rounded;
  for (const float value : out) rounded.push_back(static_cast<int>(std::lround(value)));
  return rounded;
}

TEST(AugmenterTest, FlipsHalfOfTheTimeAndShiftsEveryWayWithZeroPadding) {
  const Image image{2, 2, 1, {1, 2, 3, 4}};
  const Augmentation augmentation{.flip = true, .pad_crop = 1};
  const Augmenter augmenter(Raw(2, 1), &augmentation);
  const int count = 9000;
  std::map<std::vector<int>, int> seen;
  for (uint64_t seed = 0; seed < count; ++seed) ++seen[Written(augmenter, image, seed, 4)];
  // Nine shifts, mirrored or not.
  EXPECT_EQ(seen.size(), 18u);
  for (const auto& [pixels, times] : seen) {
    EXPECT_NEAR(times, count / 18.0, 5 * std::sqrt(count / 18.0));
  }
  EXPECT_TRUE(seen.contains({1, 2, 3, 4}));
  EXPECT_TRUE(seen.contains({2, 1, 4, 3}));
  EXPECT_TRUE(seen.contains({4, 0, 0, 0}));  // up and to the left
  EXPECT_TRUE(seen.contains({3, 0, 0, 0}));  // the same of the mirrored one
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{1, 2, 3, 4}));
}

TEST(AugmenterTest, NormalisesEveryChannelByItsOwn) {
  const Preprocessing pre{
      .resolution = 2, .channels = 3, .mean = {0.1f, 0.2f, 0.3f}, .std = {0.5f, 0.25f, 2}};
  Image image{2, 2, 3, {}};
  for (int i = 0; i < 12; ++i) image.pixels.push_back(static_cast<uint8_t>(20 * i));
  Random random(1);
  Workspace workspace;
  std::vector<float> out(12);
  Augmenter(pre, nullptr).Write(image, random, workspace, out.data());
  for (size_t i = 0; i < 12; ++i) {
    const float value = static_cast<float>(image.pixels[i]) / 255;
    EXPECT_NEAR(out[i], (value - pre.mean[i % 3]) / pre.std[i % 3], 1e-5f);
  }
}

TEST(AugmenterTest, ErasesARectangleWithNoise) {
  const Preprocessing pre{
      .resolution = 40, .channels = 1, .mean = {0.5f, 0, 0}, .std = {0.5f, 1, 1}};
  const Image image{40, 40, 1, std::vector<uint8_t>(1600, 255)};
  const Augmentation augmentation{.random_erasing = 0.4};
  const Augmenter augmenter(pre, &augmentation);
  const int count = 3000;
  int erased = 0;
  double area = 0, sum = 0, squares = 0;
  Workspace workspace;
  std::vector<float> out(1600);
  for (uint64_t seed = 0; seed < count; ++seed) {
    Random random(seed);
    augmenter.Write(image, random, workspace, out.data());
    int changed = 0;
    for (const float value : out) {
      if (std::abs(value - 1) < 1e-5f) continue;
      ++changed;
      sum += value;
      squares += value * value;
    }
    if (changed == 0) continue;
    ++erased;
    area += changed;
    EXPECT_GE(changed, 1600 * 0.02 - 8);
    EXPECT_LE(changed, 1600 / 3.0 + 30);
  }
  EXPECT_NEAR(erased, count * 0.4, 4 * std::sqrt(count * 0.24));
  EXPECT_NEAR(area / erased / 1600, (0.02 + 1.0 / 3) / 2, 0.01);
  EXPECT_NEAR(sum / area, 0, 0.02);
  EXPECT_NEAR(squares / area, 1, 0.03);
}

TEST(GeometryTest, ResizesTheShorterSideAndCropsTheMiddle) {
  Image image{4, 8, 1, {}};
  for (int i = 0; i < 32; ++i) image.pixels.push_back(static_cast<uint8_t>(10 * (i % 8)));
  const auto prepared = [&](const Preparation& preparation) {
    cv::Mat buffer;
    const ImageView view = Prepare(image, preparation, buffer);
    return Image{view.h, view.w, 1,
                 std::vector<uint8_t>(view.pixels, view.pixels + view.h * view.w)};
  };
  const Image half = prepared({.side = 2});
  EXPECT_EQ(half.h, 2);
  EXPECT_EQ(half.w, 4);
  EXPECT_EQ(half.pixels, (std::vector<uint8_t>{7, 25, 45, 63, 7, 25, 45, 63}));
  EXPECT_EQ(prepared({.side = 2, .square = true, .crop = 2}).pixels,
            (std::vector<uint8_t>{25, 45, 25, 45}));
  EXPECT_EQ(prepared({.side = 4, .square = true, .crop = 4}).pixels[0], 20);
  EXPECT_EQ(prepared({.side = 8}).w, 8);  // not enlarged before the crop
  EXPECT_EQ(prepared({.side = 8, .square = true, .crop = 8}).w, 8);
}

TEST(GeometryTest, PreparesEnoughPixelsForTheSmallestCrop) {
  const Preprocessing pre{.resolution = 96, .channels = 3, .crop = 0.875};
  const Augmentation crops{.random_resized_crop = true, .crop_scale = 0.25};
  EXPECT_EQ(PreparationFor(pre, crops, true), (Preparation{.side = 192}));
  EXPECT_EQ(PreparationFor(pre, crops, false),
            (Preparation{.side = 110, .square = true, .crop = 96}));
  EXPECT_EQ(PreparationFor(pre, {}, true), (Preparation{.side = 96, .square = true, .crop = 96}));
}

TEST(GeometryTest, CropsFillTheirRanges) {
  const cv::Size size(300, 200);
  double least = 1, most = 0, sum = 0, narrowest = 9, widest = 0;
  Random random(1);
  for (int i = 0; i < 4000; ++i) {
    const cv::Rect crop = RandomCrop(size, 0.25, random);
    ASSERT_EQ(crop & cv::Rect({}, size), crop);
    const double share = static_cast<double>(crop.area()) / size.area();
    const double ratio = static_cast<double>(crop.width) / crop.height;
    least = std::min(least, share);
    most = std::max(most, share);
    sum += share;
    narrowest = std::min(narrowest, ratio);
    widest = std::max(widest, ratio);
  }
  EXPECT_NEAR(least, 0.25, 0.01);
  EXPECT_GT(most, 0.85);
  EXPECT_NEAR(narrowest, 0.75, 0.02);
  EXPECT_NEAR(widest, 4.0 / 3, 0.03);
  // What no crop fits into gives the largest part in the middle.
  EXPECT_EQ(RandomCrop({100, 1}, 0.9, random), cv::Rect(49, 0, 1, 1));
  EXPECT_EQ(RandomCrop({1, 1}, 0.5, random), cv::Rect(0, 0, 1, 1));
}

TEST(MixTest, BetaHasItsMeanAndVariance) {
  for (const double alpha : {0.2, 1.0, 3.0}) {
    Random random(3);
    double sum = 0, squares = 0;
    const int count = 20000;
    for (int i = 0; i < count; ++i) {
      const double value = Beta(alpha, alpha, random);
      ASSERT_TRUE(value >= 0 && value <= 1);
      sum += value;
      squares += value * value;
    }
    EXPECT_NEAR(sum / count, 0.5, 0.015) << alpha;
    EXPECT_NEAR(squares / count - 0.25, 1 / (4 * (2 * alpha + 1)), 0.01) << alpha;
  }
}

TEST(MixTest, CutSharesAreTheAreaThatIsLeft) {
  const Augmentation augmentation{.cutmix = 1};
  double boxes = 0;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const BatchMix mix = DrawMix(augmentation, 10, random);
    ASSERT_TRUE(mix.cut);
    std::vector<float> a(200, 1), b(200, 2);
    MixPair(mix, 10, 2, a.data(), b.data());
    const double own = static_cast<double>(std::ranges::count(a, 1.0f)) / 200;
    EXPECT_NEAR(own, mix.share, 1e-6);
    EXPECT_NEAR(static_cast<double>(std::ranges::count(b, 2.0f)) / 200, mix.share, 1e-6);
    boxes += mix.box.w * mix.box.h > 0;
  }
  EXPECT_GT(boxes, 300);
}

TEST(MixTest, BothTakeTurns) {
  int cuts = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Random random(seed);
    cuts += DrawMix({.mixup = 0.2, .cutmix = 1}, 8, random).cut;
  }
  EXPECT_NEAR(cuts, 500, 64);
  Random random(1);
  EXPECT_FALSE(DrawMix({.mixup = 0.2}, 8, random).cut);
  EXPECT_EQ(DrawMix({}, 8, random).share, 1);
}

}  // namespace
}  // namespace lathe::data
