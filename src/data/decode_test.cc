#include "data/decode.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "base/temp_folder_testing.h"
#include "data/exif.h"
#include "data/geometry.h"
#include "data/pictures_testing.h"

namespace lathe::data {
namespace {

Image Decoded(const std::string& bytes, int min_side = 0) {
  Image image;
  DecodeImage(bytes, min_side, "x.jpg", image);
  return image;
}

std::vector<int> Pixel(const Image& image, int x, int y) {
  const size_t at = static_cast<size_t>((y * image.w + x) * image.c);
  return {image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]};
}

void ExpectNear(const std::vector<int>& pixel, const std::vector<int>& expected) {
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(pixel[c], expected[c], 4) << c;
}

// A TIFF structure of two entries, the second of which is the orientation.
std::string Tiff(int orientation, bool big_endian) {
  std::string text = big_endian ? "MM" : "II";
  const auto put = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      const int shift = 8 * (big_endian ? bytes - 1 - i : i);
      text += static_cast<char>(value >> shift & 0xff);
    }
  };
  put(42, 2);
  put(8, 4);
  put(2, 2);
  put(0x0100, 2), put(4, 2), put(1, 4), put(640, 4);
  put(0x0112, 2), put(3, 2), put(1, 4), put(static_cast<uint32_t>(orientation), 2), put(0, 2);
  put(0, 4);
  return text;
}

std::string App1(int orientation, bool big_endian) {
  return std::string("Exif\0\0", 6) + Tiff(orientation, big_endian);
}

// Where the corners of the stored picture are after it was put upright (EXIF 2.32, 4.6.4.A): the
// stored first row is the visual top (1, 2), bottom (3, 4), left (5, 8) or right (6, 7) side.
struct Turned {
  int orientation;
  bool transposed;
  std::array<int, 4> corners;  // number of the stored corner at top left, top right, bottom ...
};
const std::array<Turned, 8> kTurned{{{1, false, {0, 1, 2, 3}},
                                     {2, false, {1, 0, 3, 2}},
                                     {3, false, {3, 2, 1, 0}},
                                     {4, false, {2, 3, 0, 1}},
                                     {5, true, {0, 2, 1, 3}},
                                     {6, true, {2, 0, 3, 1}},
                                     {7, true, {3, 1, 2, 0}},
                                     {8, true, {1, 3, 0, 2}}}};

TEST(ExifTest, AllOrientationsStandUpright) {
  const std::array<std::vector<int>, 4> colours{
      {{220, 40, 40}, {40, 220, 40}, {40, 40, 220}, {200, 200, 40}}};
  for (const Turned& turned : kTurned) {
    for (const bool big_endian : {false, true}) {
      const Image image = Decoded(EncodeJpeg(
          {.h = 32,
           .w = 64,
           .app1 = App1(turned.orientation, big_endian),
           .value = [&](int x, int y, int c) {
             return colours[static_cast<size_t>(y / 16 * 2 + x / 32)][static_cast<size_t>(c)];
           }}));
      EXPECT_EQ(image.w, turned.transposed ? 32 : 64);
      EXPECT_EQ(image.h, turned.transposed ? 64 : 32);
      for (int corner = 0; corner < 4; ++corner) {
        const int x = corner % 2 == 0 ? 4 : image.w - 5, y = corner / 2 == 0 ? 4 : image.h - 5;
        SCOPED_TRACE(fmt::format("orientation {} corner {}", turned.orientation, corner));
        ExpectNear(Pixel(image, x, y),
                   colours[static_cast<size_t>(turned.corners[static_cast<size_t>(corner)])]);
      }
    }
  }
}

TEST(ExifTest, DamagedDataMeansUpright) {
  const std::string good = Tiff(6, false);
  EXPECT_EQ(ExifOrientation(good), 6);
  for (size_t length = 0; length < 32; ++length) {
    EXPECT_EQ(ExifOrientation(good.substr(0, length)), 1) << length;
  }
  EXPECT_EQ(ExifOrientation(Tiff(0, true)), 1);
  EXPECT_EQ(ExifOrientation(Tiff(9, true)), 1);
  std::string far = good;
  far[4] = far[5] = far[6] = far[7] = '\xff';  // the directory lies outside
  EXPECT_EQ(ExifOrientation(far), 1);
}

TEST(ExifTest, OtherMarkersAndPngsAreRead) {
  const auto value = [](int x, int, int) { return x < 16 ? 0 : 255; };
  const Image plain = Decoded(
      EncodeJpeg({.h = 16, .w = 32, .app1 = "http://ns.adobe.com/xap/1.0/ <x/>", .value = value}));
  EXPECT_EQ(plain.w, 32);
  PngOptions png{.h = 1, .w = 2, .bytes = {1, 2, 3, 4, 5, 6}, .exif = Tiff(6, true)};
  const Image turned = Decoded(EncodePng(png));
  EXPECT_EQ(turned.h, 2);
  EXPECT_EQ(turned.pixels, png.bytes);
}

TEST(DecodeTest, ReadsEveryKindOfPng) {
  const auto first = [](const PngOptions& options) {
    return Pixel(Decoded(EncodePng(options)), 0, 0);
  };
  using Rgb = std::vector<int>;
  EXPECT_EQ(first({.h = 1, .w = 1, .type = SPNG_COLOR_TYPE_GRAYSCALE, .bytes = {90}}),
            (Rgb{90, 90, 90}));
  EXPECT_EQ(first({.h = 1, .w = 1, .type = SPNG_COLOR_TYPE_GRAYSCALE, .depth = 1, .bytes = {0x80}}),
            (Rgb{255, 255, 255}));
  EXPECT_EQ(first({.h = 1, .w = 1, .type = SPNG_COLOR_TYPE_GRAYSCALE_ALPHA, .bytes = {90, 3}}),
            (Rgb{90, 90, 90}));
  EXPECT_EQ(first({.h = 1, .w = 1, .type = SPNG_COLOR_TYPE_INDEXED, .bytes = {2}}),
            (Rgb{20, 40, 77}));
  EXPECT_EQ(first({.h = 1, .w = 1, .type = SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, .bytes = {1, 2, 3, 0}}),
            (Rgb{1, 2, 3}));  // alpha is dropped
  EXPECT_EQ(first({.h = 1,
                   .w = 1,
                   .type = SPNG_COLOR_TYPE_TRUECOLOR,
                   .depth = 16,
                   .bytes = {0, 10, 0, 20, 0, 30}}),  // 2560, 5120, 7680 of 65535
            (Rgb{10, 20, 30}));
  EXPECT_EQ(
      first({.h = 1, .w = 1, .type = SPNG_COLOR_TYPE_GRAYSCALE, .depth = 16, .bytes = {0, 200}}),
      (Rgb{200, 200, 200}));
}

TEST(DecodeTest, ReadsGreyCmykAndProgressiveJpegs) {
  const Image grey = Decoded(EncodeJpeg(16, 16, 1, 90));
  ExpectNear(Pixel(grey, 3, 3), {90, 90, 90});
  // As Adobe's programs store them: 255 is no ink.
  const Image cmyk =
      Decoded(EncodeJpeg({.h = 16, .w = 16, .space = JCS_CMYK, .value = [](int, int, int c) {
                            return std::array<int, 4>{255, 128, 0, 200}[static_cast<size_t>(c)];
                          }}));
  ExpectNear(Pixel(cmyk, 3, 3), {200, 100, 0});
  const Image progressive = Decoded(EncodeJpeg(
      {.h = 40, .w = 24, .progressive = true, .value = [](int, int, int c) { return 60 * c; }}));
  ExpectNear(Pixel(progressive, 20, 30), {0, 60, 120});
}

TEST(DecodeTest, ReadsExtremeSizes) {
  EXPECT_EQ(Decoded(EncodeJpeg(1, 1, 3, 60)).pixels.size(), 3u);
  EXPECT_EQ(Decoded(EncodeJpeg(1, 1, 3, 60), 64).w, 1);
  EXPECT_EQ(Decoded(EncodePng(1, 1, SPNG_COLOR_TYPE_TRUECOLOR, 3)).pixels.size(), 3u);
  EXPECT_EQ(Decoded(EncodeJpeg(3, 20000, 3, 60), 8).w, 20000);
  EXPECT_EQ(Decoded(EncodeJpeg(17, 33, 3, 60), 5).h, 5);  // sides are rounded up
  EXPECT_EQ(Decoded(EncodeJpeg(17, 33, 3, 60), 6).h, 9);
}

// 300 x 2,000,000 px would be too many.
TEST(DecodeTest, StripsAreCutBeforeTheyAreEnlarged) {
  const Image wide = Decoded(EncodeJpeg(3, 20000, 3, 60));
  cv::Mat buffer;
  const ImageView square = Prepare(wide, {.side = 300, .square = true, .crop = 256}, buffer);
  EXPECT_EQ(square.h, 256);
  EXPECT_EQ(square.w, 256);
  EXPECT_NEAR(square.pixels[0], 200, 4);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{1 << 30, 1 << 30};
    setrlimit(RLIMIT_AS, &limit);
    try {
      Prepare(wide, {.side = 300, .square = true, .crop = 256}, buffer);
      _exit(0);
    } catch (...) {
      _exit(1);
    }
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
#endif
}

TEST(ShownTest, EscapesWhatDoesNotPrint) {
  EXPECT_EQ(Shown("a b/\xc3\xa4\xe2\x82\xac.jpg"), "a b/\xc3\xa4\xe2\x82\xac.jpg");
  EXPECT_EQ(Shown("a\n\x1b[1m\xff\xc3"), "a\\x0a\\x1b[1m\\xff\\xc3");
  EXPECT_EQ(Shown("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(Shown("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a surrogate pair
  EXPECT_EQ(Shown("\xf0\x9f\x8c\xb7"), "\xf0\x9f\x8c\xb7");
  EXPECT_FALSE(IsPrintable("a\xff"));
  EXPECT_TRUE(IsPrintable("Gänseblümchen"));
}

}  // namespace
}  // namespace lathe::data
