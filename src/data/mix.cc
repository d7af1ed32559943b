#include "data/mix.h"

#include <algorithm>
#include <cmath>

namespace lathe::data {
namespace {

// Marsaglia and Tsang (2000); below 1 by Gamma(alpha) = Gamma(alpha + 1) * U^(1 / alpha). As a
// logarithm, since for small alpha the value itself would be 0.
double LogGamma(double alpha, Random& random) {
  double boost = 0;
  if (alpha < 1) {
    boost = std::log(1 - random.Uniform()) / alpha;
    alpha += 1;
  }
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.Normal(), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    const double u = 1 - random.Uniform();
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v) + boost;
  }
}

// Centred anywhere, so that it may be cut off at the border.
Box DrawBox(double area_share, int side, Random& random) {
  const auto length = static_cast<int>(side * std::sqrt(area_share));
  const auto span = [&](int& begin, int& size) {
    const auto centre = static_cast<int>(random.Below(static_cast<uint64_t>(side)));
    begin = std::clamp(centre - length / 2, 0, side);
    size = std::clamp(centre + length / 2, 0, side) - begin;
  };
  Box box;
  span(box.y, box.h);
  span(box.x, box.w);
  return box;
}

}  // namespace

double Beta(double alpha, double beta, Random& random) {
  const double a = LogGamma(alpha, random), b = LogGamma(beta, random);
  return 1 / (1 + std::exp(b - a));
}

BatchMix DrawMix(const Augmentation& augmentation, int side, Random& random) {
  BatchMix mix;
  const bool both = augmentation.mixup > 0 && augmentation.cutmix > 0;
  mix.cut = both ? random.Uniform() < 0.5 : augmentation.cutmix > 0;
  const double alpha = mix.cut ? augmentation.cutmix : augmentation.mixup;
  if (alpha <= 0) return mix;
  const double share = Beta(alpha, alpha, random);
  mix.share = static_cast<float>(share);
  if (mix.cut) {
    mix.box = DrawBox(1 - share, side, random);
    const double area = static_cast<double>(mix.box.w) * mix.box.h;
    mix.share = static_cast<float>(1 - area / (static_cast<double>(side) * side));
  }
  return mix;
}

void MixPair(const BatchMix& mix, int side, int channels, float* a, float* b) {
  if (mix.cut) {
    for (std::ptrdiff_t y = mix.box.y; y < mix.box.y + mix.box.h; ++y) {
      const std::ptrdiff_t begin = (y * side + mix.box.x) * channels;
      std::swap_ranges(a + begin, a + begin + mix.box.w * channels, b + begin);
    }
    return;
  }
  const float own = mix.share, other = 1 - mix.share;
  const std::ptrdiff_t size = std::ptrdiff_t{side} * side * channels;
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const float left = a[i], right = b[i];
    a[i] = own * left + other * right;
    b[i] = own * right + other * left;
  }
}

}  // namespace lathe::data
