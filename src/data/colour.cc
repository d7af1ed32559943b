#include "data/colour.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <opencv2/imgproc.hpp>

namespace lathe::data {
namespace {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

size_t Bytes(const cv::Mat& picture) {
  return picture.total() * static_cast<size_t>(picture.channels());
}

// Pillow cuts off, it does not round.
uint8_t Blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

template <typename Function>
Table MakeTable(Function function) {
  Table table{};
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = static_cast<uint8_t>(function(i));
  return table;
}

void Apply(const Table& table, cv::Mat& picture) {
  uint8_t* pixels = picture.data;
  const size_t size = Bytes(picture);
  for (size_t i = 0; i < size; ++i) pixels[i] = table[pixels[i]];
}

// One table for each channel, from the channel's histogram.
template <typename Function>
void ApplyByHistogram(Function function, cv::Mat& picture) {
  const auto channels = static_cast<size_t>(picture.channels());
  std::array<Histogram, 3> histograms{};
  std::array<Table, 3> tables{};
  uint8_t* pixels = picture.data;
  const size_t size = Bytes(picture);
  for (size_t i = 0; i < size; i += channels) {
    for (size_t c = 0; c < channels; ++c) ++histograms[c][pixels[i + c]];
  }
  for (size_t c = 0; c < channels; ++c) tables[c] = function(histograms[c]);
  for (size_t i = 0; i < size; i += channels) {
    for (size_t c = 0; c < channels; ++c) pixels[i + c] = tables[c][pixels[i + c]];
  }
}

int MeanGrey(const cv::Mat& picture) {
  const size_t size = Bytes(picture);
  int64_t sum = 0;
  if (picture.channels() == 1) {
    for (size_t i = 0; i < size; ++i) sum += picture.data[i];
  } else {
    for (size_t i = 0; i < size; i += 3) sum += Grey(picture.data + i);
  }
  return static_cast<int>(
      std::floor(static_cast<double>(sum) / static_cast<double>(picture.total()) + 0.5));
}

}  // namespace

// ITU-R 601-2 in 16-bit fixed point.
int Grey(const uint8_t* rgb) {
  return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
}

void Brightness(float factor, cv::Mat& picture) {
  Apply(MakeTable([&](int value) { return Blend(0, value, factor); }), picture);
}

void Contrast(float factor, cv::Mat& picture) {
  const int mean = MeanGrey(picture);
  Apply(MakeTable([&](int value) { return Blend(mean, value, factor); }), picture);
}

void Saturation(float factor, cv::Mat& picture) {
  if (picture.channels() == 1) return;
  const size_t size = Bytes(picture);
  for (uint8_t* pixel = picture.data; pixel < picture.data + size; pixel += 3) {
    const int grey = Grey(pixel);
    for (int c = 0; c < 3; ++c) pixel[c] = Blend(grey, pixel[c], factor);
  }
}

// Against Pillow's SMOOTH: every neighbour counts 1, the pixel itself 5; the border stays.
void Sharpness(float factor, cv::Mat& picture, cv::Mat& buffer) {
  if (picture.rows < 3 || picture.cols < 3) return;
  picture.copyTo(buffer);
  const int step = picture.channels();
  const auto stride = static_cast<std::ptrdiff_t>(picture.cols) * step;
  for (int y = 1; y + 1 < picture.rows; ++y) {
    const uint8_t* middle = buffer.data + y * stride;
    const uint8_t *above = middle - stride, *below = middle + stride;
    uint8_t* out = picture.data + y * stride;
    for (std::ptrdiff_t x = step; x < stride - step; ++x) {
      const unsigned sum = above[x - step] + above[x] + above[x + step] + middle[x - step] +
                           5u * middle[x] + middle[x + step] + below[x - step] + below[x] +
                           below[x + step];
      out[x] = Blend(static_cast<int>((sum + 6) / 13), middle[x], factor);
    }
  }
}

void Hue(double turn, cv::Mat& picture, cv::Mat& buffer) {
  if (picture.channels() == 1) return;
  cv::cvtColor(picture, buffer, cv::COLOR_RGB2HSV_FULL);
  const auto shift = static_cast<uint8_t>(static_cast<int>(turn * 255));  // round the circle
  const size_t size = Bytes(buffer);
  for (size_t i = 0; i < size; i += 3)
    buffer.data[i] = static_cast<uint8_t>(buffer.data[i] + shift);
  cv::cvtColor(buffer, picture, cv::COLOR_HSV2RGB_FULL);
}

void AutoContrast(cv::Mat& picture) {
  ApplyByHistogram(
      [](const Histogram& histogram) {
        const auto used = [](int64_t count) { return count > 0; };
        const auto first = std::find_if(histogram.begin(), histogram.end(), used);
        const auto last = std::find_if(histogram.rbegin(), histogram.rend(), used);
        const auto low = first - histogram.begin(), high = 255 - (last - histogram.rbegin());
        if (high <= low) return MakeTable([](int value) { return value; });
        const double scale = 255.0 / static_cast<double>(high - low);
        const double offset = -static_cast<double>(low) * scale;
        return MakeTable([&](int value) {
          return std::clamp(static_cast<int>(value * scale + offset), 0, 255);
        });
      },
      picture);
}

void Equalize(cv::Mat& picture) {
  ApplyByHistogram(
      [](const Histogram& histogram) {
        int64_t total = 0, last = 0;
        for (const int64_t count : histogram) {
          total += count;
          if (count > 0) last = count;
        }
        const int64_t step = (total - last) / 255;
        if (step == 0) return MakeTable([](int value) { return value; });
        int64_t sum = step / 2;
        return MakeTable([&](int value) {
          const int64_t level = sum / step;
          sum += histogram[static_cast<size_t>(value)];
          return std::min<int64_t>(level, 255);
        });
      },
      picture);
}

void Invert(cv::Mat& picture) {
  Apply(MakeTable([](int value) { return 255 - value; }), picture);
}

void Posterize(int bits, cv::Mat& picture) {
  const int mask = ~((1 << (8 - std::clamp(bits, 0, 8))) - 1);
  Apply(MakeTable([&](int value) { return value & mask; }), picture);
}

void Solarize(int threshold, cv::Mat& picture) {
  Apply(MakeTable([&](int value) { return value < threshold ? value : 255 - value; }), picture);
}

void SolarizeAdd(int add, int threshold, cv::Mat& picture) {
  Apply(
      MakeTable([&](int value) { return value < threshold ? std::min(255, value + add) : value; }),
      picture);
}

}  // namespace lathe::data
