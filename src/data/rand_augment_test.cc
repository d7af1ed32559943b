#include "data/rand_augment.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "data/colour.h"
#include "data/geometry.h"

namespace lathe::data {
namespace {

// The expected bytes are what Pillow 13.0.0 makes of the same pictures through the functions of
// timm 1.0.31's auto_augment.py (resample=BILINEAR, fillcolor=128).
struct Fact {
  RandOperation operation;
  double argument;
  std::string hex;
};

std::vector<uint8_t> Bytes(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<uint8_t> Bytes(const cv::Mat& picture) {
  return {picture.data, picture.data + picture.total() * picture.elemSize()};
}

template <typename Function>
cv::Mat Picture(int h, int w, int channels, Function value) {
  cv::Mat picture(h, w, CV_8UC(channels));
  uint8_t* out = picture.data;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      for (int c = 0; c < channels; ++c) *out++ = static_cast<uint8_t>(value(x, y, c));
    }
  }
  return picture;
}

cv::Mat Colourful() {
  return Picture(4, 5, 3,
                 [](int x, int y, int c) { return (x * 37 + y * 59 + c * 83 + x * y * 13) % 256; });
}

cv::Mat Slope() {
  return Picture(8, 8, 1, [](int x, int y, int) { return 16 * x + 12 * y + 20; });
}

const std::vector<Fact> kColourFacts{
    {RandOperation::kAutoContrast, 0,
     "0054a9257cd44aa3ff6fcb0295f32d3b93ed6dc900a0ff39d222730357ad76d30ab60453"
     "f5479b338be472ce05b2004eff51a649a2fd96f42ee23385"},
    {RandOperation::kEqualize, 0,
     "0053a62578cb4a9df06fc21594e73a3b8ee16dc0139ff245d124770356a976c91cb5085b"
     "f4479a3386d972c518b10457fd50a3499cef95e83be13487"},
    {RandOperation::kInvert, 0,
     "ffac59da8734b5620f903dea6b18c5c4711e923fec600dba2edb88fca9568936e34af7a4"
     "0bb865cc79268d3ae74efba802af5cb663106a17c41ecb78"},
    {RandOperation::kPosterize, 3,
     "0040a02060c04080e060c00080e0202080e060c00080e040c020600040a060c000a00040"
     "e040802080c060c000a00040e040a04080e080e020e02080"},
    {RandOperation::kSolarize, 100,
     "0053592587344a620f903d156b183a3b711e923f13600d452e248803565689361c4a085b"
     "0b47653379268d3a184e045702505c4963106a173b1e3478"},
    {RandOperation::kSolarizeAdd, 99,
     "63b6a688dbcbad9df0d2c27894e79d9e8ee1d0c0769ff2a8d187da66b9a9d9c97fb56bbe"
     "f4aa9a9686d9d5c57bb167bafdb3a3ac9cef95e89ee19787"},
    {RandOperation::kColor, 1.72,
     "005dec0082ff19a7ff53e20078ff000a98ff51e00083ff00ff00860060ef5ae900ff006a"
     "ff1ba90290ff56e500ff0066ff24b218a6ff79ff00ff0896"},
    {RandOperation::kColor, 0.4,
     "284a6b4d6f907294b585a761aacc866385a683a55fb5d7918d48692b4d6e8cae68712c4d"
     "b06b8c5b7d9e88aa646d2849b974957193b4abcd879d5879"},
    {RandOperation::kContrast, 1.72,
     "0032c10072ff23b1ff62f100a2ff070998ff5fee00b5ff1aff00700037c66efd00db0040"
     "ff1dac008aff67f600d40039ff2dbc21b0ffa4ff09ff008c"},
    {RandOperation::kContrast, 0.4,
     "4c6e8f5b7c9e6a8bac799a5588a9646485a67899548cad68a05b7c4e6f907c9d58955071"
     "ae698a6182a37a9b56934e6fb26c8e6a8bac88a964a66182"},
    {RandOperation::kBrightness, 1.72,
     "008eff3fceff7fffffbeff24feff6365f4ffbbff20ffff76ff3dcc0593ffcaff30ff0d9c"
     "ff7aff57e6ffc4ff29ff0695ff89ff7dffffffff65ff59e8"},
    {RandOperation::kBrightness, 0.3,
     "0018310b243c162f48213a062c4511112a432039052f48143e0a23001932233c0836021b"
     "49152e0f2841223b0735011a4b1830152e472c4511430f28"},
    {RandOperation::kSharpness, 1.72,
     "0053a62578cb4a9df06fc21594e73a3b8ee16ddc00adff28fb00770356a976c91cc3004c"
     "ff2aa80886ff72c518b10457fd50a3499cef95e83be13487"},
    {RandOperation::kSharpness, 0.2,
     "0053a62578cb4a9df06fc21594e73a3b8ee16da0528fb264a163770356a976c91ca5476b"
     "c4668a6286a972c518b10457fd50a3499cef95e83be13487"},
};

const std::vector<Fact> kMoves{
    {RandOperation::kRotate, 27.0,
     "80805060738796802c3c4f63778a9e802b3f53677a8ea2b12f43566a7e91a5b932465a6d"
     "8195a8bc3a495d718498acc0804d6174889cafbf805564788b9b8080"},
    {RandOperation::kShearX, 0.27,
     "162636465666768426364656667686903646566676869680475767778797a78057677787"
     "97a7b48067778797a7b7c080788898a8b8c880808898a8b8c8d88080"},
    {RandOperation::kShearY, -0.27,
     "14248080808080801e2b3744546480802a3743505d6a768436434f5c6976828f424f5b68"
     "75828e9b4e5b6774818e9aa75a6773808d9aa6b366737f8c99a6b2bf"},
    {RandOperation::kTranslateX, 0.2,
     "2d3d4d5d6d7d8080394959697989808045556575859580805161718191a180805d6d7d8d"
     "9dad808069798999a9b98080758595a5b5c580808191a1b1c1d18080"},
    {RandOperation::kTranslateY, -0.405,
     "80808080808080808080808080808080808080808080808014243444546474841d2d3d4d"
     "5d6d7d8d293949596979899935455565758595a5415161718191a1b1"},
};

std::vector<uint8_t> After(const Fact& fact, cv::Mat picture) {
  cv::Mat buffer;
  ApplyRandOperation(fact.operation, fact.argument, cv::Scalar::all(128), picture, buffer);
  return Bytes(picture);
}

TEST(RandOperationTest, ColoursAreThoseOfPillow) {
  for (const Fact& fact : kColourFacts) {
    EXPECT_EQ(After(fact, Colourful()), Bytes(fact.hex))
        << static_cast<int>(fact.operation) << " " << fact.argument;
  }
}

TEST(RandOperationTest, GreyPicturesAndHistogramsAreThoseOfPillow) {
  EXPECT_EQ(After({RandOperation::kAutoContrast, 0, ""}, Slope()),
            Bytes("0014293e53687c910f24394e62778ca11f34485d72879cb02e43586d8296abc0"
                  "3e53687c91a6bbd04e62778ca1b6cadf5d72879cb0c5daef6d8296abc0d5eaff"));
  const auto equal =
      After({RandOperation::kEqualize, 0, ""},
            Picture(32, 32, 1, [](int x, int y, int) { return (x * x + y * y) / 8; }));
  EXPECT_EQ(std::vector<uint8_t>(equal.begin(), equal.begin() + 32),
            Bytes("000000020406080b0e11151a1e24292f363c434b535b636d76808996a0abb7c3"));
  EXPECT_EQ(std::vector<uint8_t>(equal.begin() + 640, equal.begin() + 672),
            Bytes("5353535557585a5d6163686b70757b80878e939ca4abb4bec7d0d7dde2e7ecf0"));
  EXPECT_EQ(After({RandOperation::kColor, 0.1, ""}, Slope()), Bytes(Slope()));
}

// OpenCV interpolates in steps of 1/32 px and blends with the colour outside over the last pixel.
TEST(RandOperationTest, MovesAreThoseOfPillow) {
  for (const Fact& fact : kMoves) {
    const std::vector<uint8_t> ours = After(fact, Slope()), theirs = Bytes(fact.hex);
    int inside = 0, near = 0, filled = 0;
    for (size_t i = 0; i < theirs.size(); ++i) {
      const size_t x = i % 8, y = i / 8;
      filled += theirs[i] == 128 && ours[i] == 128;
      const bool edge = x == 0 || y == 0 || x == 7 || y == 7 || theirs[i] == 128 ||
                        theirs[i - 1] == 128 || theirs[i + 1] == 128 || theirs[i - 8] == 128 ||
                        theirs[i + 8] == 128;
      if (edge) continue;
      ++inside;
      near += std::abs(ours[i] - theirs[i]) <= 1;
    }
    EXPECT_GE(inside, 16) << static_cast<int>(fact.operation);
    EXPECT_EQ(near, inside) << static_cast<int>(fact.operation);
    EXPECT_GE(filled, 2) << static_cast<int>(fact.operation);
  }
}

TEST(RandOperationTest, LevelsMeanWhatTheyMeanInTimm) {
  using enum RandOperation;
  EXPECT_DOUBLE_EQ(RandArgument(kRotate, 9, false), 27);
  EXPECT_DOUBLE_EQ(RandArgument(kRotate, 9, true), -27);
  EXPECT_DOUBLE_EQ(RandArgument(kPosterize, 9, false), 3);
  EXPECT_DOUBLE_EQ(RandArgument(kSolarize, 9, false), 230);
  EXPECT_DOUBLE_EQ(RandArgument(kSolarize, 10, false), 256);
  EXPECT_DOUBLE_EQ(RandArgument(kSolarizeAdd, 9, false), 99);
  EXPECT_DOUBLE_EQ(RandArgument(kColor, 0, false), 0.1);
  EXPECT_DOUBLE_EQ(RandArgument(kSharpness, 10, true), 1.9);
  EXPECT_DOUBLE_EQ(RandArgument(kShearX, 10, true), -0.3);
  EXPECT_DOUBLE_EQ(RandArgument(kTranslateY, 10, false), 0.45);
}

// One operation of fifteen, with probability 1/2; most of them change this picture.
TEST(RandAugmentTest, AppliesHalfOfTheTime) {
  const int count = 6000;
  int changed = 0, inverted = 0;
  cv::Mat buffer;
  cv::Mat inverse = Colourful();
  Invert(inverse);
  for (uint64_t seed = 0; seed < count; ++seed) {
    Random random(seed);
    cv::Mat picture = Colourful();
    RandAugment({.rand_augment = 1}, cv::Scalar::all(128), random, picture, buffer);
    changed += Bytes(picture) != Bytes(Colourful());
    inverted += Bytes(picture) == Bytes(inverse);
  }
  // Equalize has too few pixels to work with here.
  EXPECT_NEAR(changed, count * 0.5 * 14 / 15, 4 * std::sqrt(count * 0.25));
  EXPECT_NEAR(inverted, count / 30.0, 4 * std::sqrt(count / 30.0));
}

TEST(RandAugmentTest, LevelsScatterRoundTheMagnitude) {
  // Brightness of a picture of 100s tells the factor.
  const int count = 40000;
  double sum = 0, squares = 0;
  int seen = 0;
  cv::Mat buffer;
  for (uint64_t seed = 0; seed < count; ++seed) {
    Random random(seed), copy(seed);
    if (copy.Below(kRandOperations) != static_cast<uint64_t>(RandOperation::kBrightness)) continue;
    if (copy.Uniform() >= 0.5) continue;
    cv::Mat picture(1, 1, CV_8UC1, cv::Scalar::all(100));
    RandAugment({.rand_augment = 1, .rand_magnitude = 5, .rand_deviation = 1}, {}, random, picture,
                buffer);
    const double level = (picture.data[0] / 100.0 + 0.005 - 0.1) / 0.18;
    sum += level;
    squares += level * level;
    ++seen;
  }
  ASSERT_GT(seen, 1000);
  EXPECT_NEAR(sum / seen, 5, 0.12);
  EXPECT_NEAR(std::sqrt(squares / seen - sum / seen * sum / seen), 1, 0.12);
}

TEST(ColourJitterTest, FactorsFillTheirRange) {
  cv::Mat buffer;
  double least = 10, most = 0, sum = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Random random(seed);
    cv::Mat picture(1, 1, CV_8UC1, cv::Scalar::all(100));
    ColourJitter({.brightness = 0.4}, random, picture, buffer);
    const double factor = picture.data[0] / 100.0;
    least = std::min(least, factor);
    most = std::max(most, factor);
    sum += factor;
  }
  EXPECT_NEAR(least, 0.6, 0.02);
  EXPECT_NEAR(most, 1.4, 0.02);
  EXPECT_NEAR(sum / 2000, 1, 0.03);
}

TEST(ColourJitterTest, HueGoesRoundAndKeepsGrey) {
  cv::Mat picture = Picture(1, 2, 3, [](int x, int, int c) {
    return x == 1 ? 90 : c == 0 ? 200 : 0;
  });
  cv::Mat buffer;
  Hue(1.0 / 3, picture, buffer);  // red becomes green
  const std::vector<uint8_t> bytes = Bytes(picture);
  EXPECT_NEAR(bytes[1], 200, 3);
  EXPECT_LE(bytes[0], 8);
  EXPECT_LE(bytes[2], 8);
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin() + 3, bytes.end()),
            (std::vector<uint8_t>{90, 90, 90}));
  Hue(-1.0 / 3, picture, buffer);
  EXPECT_NEAR(picture.data[0], 200, 6);
}

}  // namespace
}  // namespace lathe::data
