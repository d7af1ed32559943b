#include "data/layout.h"

namespace lathe::data {

void ToNchw(std::span<const float> nhwc, int count, const Preprocessing& preprocessing,
            std::vector<float>& nchw) {
  const auto channels = static_cast<size_t>(preprocessing.channels);
  const auto side = static_cast<size_t>(preprocessing.resolution);
  const size_t pixels = side * side;
  nchw.resize(static_cast<size_t>(count) * channels * pixels);
  const float* from = nhwc.data();
  for (size_t image = 0; image < static_cast<size_t>(count); ++image) {
    float* to = nchw.data() + image * channels * pixels;
    for (size_t pixel = 0; pixel < pixels; ++pixel) {
      for (size_t channel = 0; channel < channels; ++channel)
        to[channel * pixels + pixel] = *from++;
    }
  }
}

}  // namespace lathe::data
