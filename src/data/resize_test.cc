#include "data/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace lathe::data {
namespace {

// The pixels that the script which asked Pillow used.
cv::Mat Picture(int h, int w, int channels) {
  cv::Mat picture(h, w, CV_8UC(channels));
  uint8_t* out = picture.data;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      for (int c = 0; c < channels; ++c) {
        *out++ = static_cast<uint8_t>((x * 37 + y * 59 + c * 83 + x * y * 13) % 256);
      }
    }
  }
  return picture;
}

// `hex`: what Pillow 13.0.0 makes of it with crop(part).resize((w, h), BILINEAR).
void ExpectAsPillow(const cv::Mat& part, int h, int w, const std::string& hex) {
  cv::Mat to;
  Resize(part, h, w, to);
  ASSERT_EQ(to.total() * to.elemSize() * 2, hex.size());
  for (size_t i = 0; i < hex.size() / 2; ++i) {
    EXPECT_NEAR(to.data[i], std::stoi(hex.substr(2 * i, 2), nullptr, 16), 1) << i;
  }
}

TEST(ResizeTest, IsPillowsBilinear) {
  ExpectAsPillow(Picture(9, 12, 3), 4, 5,
                 "5c8c857b89737f6f747e74887a9277a66785918c8d7c7d79716c67967f6c888c848e78a4"
                 "6b9a7f8b7683787f7b888f696e957d5ea1847988857f8676");
  ExpectAsPillow(Picture(4, 5, 3), 6, 7,
                 "0053a61568bb3083d64a9df064b7547fd22594e73a1e71c4378a9356a97c75c89b948b5f"
                 "7c86594c9f724598c0639e6488b02eadd553b46379724a8b1669916cbf3d8f6847ba3860"
                 "e6648c7970b75590875fb23094673abb4561c940939f72c575a39b829e71aa7d50b10457"
                 "dc2f82ca66b9499cef7fd26eb69b5ce13487");
  ExpectAsPillow(Picture(9, 12, 1), 4, 3, "6b7d7e9d7d858c79807e657c");
}

TEST(ResizeTest, TakesPartsOfAPicture) {
  ExpectAsPillow(Picture(9, 12, 3)({2, 1, 9, 4}), 5, 4,
                 "957b6e408195a09c4da659ac8b7b8e856071838376b346758892948e6a75786d79917e51"
                 "95a48d768f8c70646162a64db59a8e70b1935c6a4c4f6f63");
  ExpectAsPillow(Picture(9, 12, 1)({1, 2, 5, 7}), 4, 9,
                 "cfc2ab8a66869c85787e8ba1adb79f88766b9c968b8580756c67644b74b79558514f5c64");
}

TEST(ResizeTest, KeepsWhatIsEven) {
  for (const int value : {0, 1, 128, 254, 255}) {
    for (const int side : {1, 2, 7, 50, 333}) {
      cv::Mat to;
      Resize(cv::Mat(40, 51, CV_8UC3, cv::Scalar::all(value)), side, side + 1, to);
      const std::vector<uint8_t> pixels(to.data, to.data + to.total() * 3);
      EXPECT_EQ(std::ranges::count(pixels, value), std::ssize(pixels));
    }
  }
  cv::Mat same;
  const cv::Mat picture = Picture(9, 12, 3);
  Resize(picture, 9, 12, same);
  EXPECT_TRUE(std::equal(same.data, same.data + 9 * 12 * 3, picture.data));
}

}  // namespace
}  // namespace lathe::data
