#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/temp_folder_testing.h"
#include "data/in_memory.h"
#include "data/transform.h"

namespace lathe::data {
namespace {

// Image i has label i % 10 and pixels (i + position) % 256; 0 occurs only where that wraps round.
std::shared_ptr<const Dataset> Numbered(int count, int side, int channels) {
  InMemoryImages images{
      .h = side, .w = side, .c = channels, .pixels = {}, .labels = {}, .class_names = {}};
  for (int i = 0; i < count; ++i) {
    images.labels.push_back(i % 10);
    for (int p = 0; p < side * side * channels; ++p)
      images.pixels.push_back(static_cast<uint8_t>(i + p));
  }
  return MakeInMemory(std::move(images), "labels");
}

// y = x: so that a batch shows the pixels themselves.
Preprocessing Raw(int side, int channels) {
  const float one = 1.0f / 255;
  return {.resolution = side, .channels = channels, .mean = {0, 0, 0}, .std = {one, one, one}};
}

std::vector<Batch> Epoch(Loader& loader, int epoch, int64_t first = 0) {
  std::vector<Batch> batches;
  loader.StartEpoch(epoch, first);
  for (Batch batch; loader.Next(batch);) batches.push_back(batch);
  return batches;
}

std::vector<Batch> Epoch(const LoaderOptions& options, const std::shared_ptr<const Dataset>& data,
                         int epoch, int64_t first = 0) {
  Loader loader(data, options);
  return Epoch(loader, epoch, first);
}

bool Same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  return std::ranges::equal(a, b, [](const Batch& x, const Batch& y) {
    return x.images == y.images && x.labels == y.labels;
  });
}

TEST(LoaderTest, EvaluatesInOrderWithThePartialBatch) {
  const auto data = Numbered(10, 3, 1);
  const auto batches =
      Epoch({.preprocessing = Raw(3, 1), .augmentation = {.flip = true, .pad_crop = 2}, .batch = 4},
            data, 0);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2].count, 2);
  EXPECT_EQ(batches[1].labels, (std::vector<int64_t>{4, 5, 6, 7}));
  for (size_t p = 0; p < 9; ++p)
    EXPECT_NEAR(batches[2].images[9 + p], 9 + static_cast<float>(p), 1e-3f);
}

TEST(LoaderTest, TrainingShufflesAndDropsThePartialBatch) {
  const auto data = Numbered(103, 2, 1);
  const LoaderOptions options{
      .preprocessing = Raw(2, 1), .augmentation = {}, .batch = 10, .seed = 3, .training = true};
  const auto batches = Epoch(options, data, 0);
  ASSERT_EQ(batches.size(), 10u);
  std::vector<int> seen;
  for (const Batch& batch : batches) {
    for (size_t i = 0; i < 10; ++i)
      seen.push_back(static_cast<int>(std::lround(batch.images[4 * i])));
  }
  EXPECT_FALSE(std::ranges::is_sorted(seen));
  std::ranges::sort(seen);
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
  EXPECT_FALSE(Same(batches, Epoch(options, data, 1)));
}

TEST(LoaderTest, SamePixelsWhateverTheThreadsAndTheStart) {
  const auto data = Numbered(200, 12, 3);
  LoaderOptions options{.preprocessing = Raw(8, 3),  // resized: through the cache
                        .augmentation = {.flip = true,
                                         .pad_crop = 2,
                                         .random_erasing = 0.5,
                                         .random_resized_crop = true},
                        .batch = 16,
                        .seed = 5,
                        .training = true};
  const auto expected = Epoch(options, data, 2);
  ASSERT_EQ(expected.size(), 12u);
  for (const int threads : {1, 3}) {
    options.threads = threads;
    Loader loader(data, options);
    Batch skipped;
    EXPECT_TRUE(loader.Next(skipped));  // leaves epoch 0 in the middle
    EXPECT_TRUE(Same(Epoch(loader, 2), expected)) << threads;
    EXPECT_TRUE(Same(Epoch(loader, 2, 7), {expected.begin() + 7, expected.end()})) << threads;
  }
  options.seed = 6;
  EXPECT_FALSE(Same(Epoch(options, data, 2), expected));
}

TEST(LoaderTest, ASmallSetIsOneBatch) {
  const auto data = Numbered(3, 2, 1);
  Loader loader(data,
                {.preprocessing = Raw(2, 1), .augmentation = {}, .batch = 8, .training = true});
  EXPECT_EQ(loader.batches_per_epoch(), 1);
  EXPECT_EQ(Epoch(loader, 0)[0].count, 3);
}

TEST(LoaderTest, GreyImagesFillThreeChannels) {
  const auto batches =
      Epoch({.preprocessing = Raw(2, 3), .augmentation = {}, .batch = 1}, Numbered(1, 2, 1), 0);
  const std::vector<float>& pixels = batches[0].images;
  ASSERT_EQ(pixels.size(), 12u);
  EXPECT_EQ(pixels[9], pixels[10]);
  EXPECT_EQ(pixels[9], pixels[11]);
  EXPECT_NEAR(pixels[9], 3, 1e-3);
  ExpectError(ErrorKind::kInput, "has 3 channels, the network takes 1",
              [] { Loader(Numbered(1, 2, 3), {.preprocessing = Raw(2, 1), .augmentation = {}}); });
}

class BrokenDataset final : public Dataset {
 public:
  int64_t size() const override { return 8; }
  int channels() const override { return 1; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int Label(int64_t) const override { return 0; }
  Image Load(int64_t index, int) const override {
    if (index == 5) throw Error(ErrorKind::kInput, "picture 5 is broken");
    return {1, 1, 1, {7}};
  }

 private:
  std::vector<std::string> names_{"x"};
};

TEST(LoaderTest, ErrorsOfWorkersReachTheConsumer) {
  for (const int threads : {0, 2}) {
    Loader loader(std::make_shared<BrokenDataset>(),
                  {.preprocessing = Raw(1, 1), .augmentation = {}, .batch = 2, .threads = threads});
    Batch batch;
    EXPECT_TRUE(loader.Next(batch));
    EXPECT_TRUE(loader.Next(batch));
    ExpectError(ErrorKind::kInput, "picture 5", [&] { loader.Next(batch); });
    EXPECT_TRUE(loader.Next(batch));
    EXPECT_FALSE(loader.Next(batch));
  }
}

TEST(PreprocessingTest, MeasuresMeanAndDeviation) {
  InMemoryImages images{.h = 1,
                        .w = 1,
                        .c = 3,
                        .pixels = {0, 51, 9, 255, 153, 9},
                        .labels = {0, 0},
                        .class_names = {}};
  const auto data = MakeInMemory(std::move(images), "labels");
  const Preprocessing result = MeasurePreprocessing(*data, 1);
  EXPECT_EQ(result.channels, 3);
  EXPECT_NEAR(result.mean[0], 0.5, 1e-6);
  EXPECT_NEAR(result.std[0], 0.5, 1e-6);
  EXPECT_NEAR(result.mean[1], 0.4, 1e-6);
  EXPECT_NEAR(result.std[1], 0.2, 1e-6);
  EXPECT_NEAR(result.std[2], 1e-3, 1e-6);  // constant: not zero
}

TEST(TransformTest, FlipsAndShiftsWithZeroPadding) {
  const Image image{2, 2, 1, {1, 2, 3, 4}};
  const PixelWriter writer(Raw(2, 1));
  bool flipped = false, straight = false, padded = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    std::vector<float> out(4);
    writer.Write(image, {.flip = true, .pad_crop = 1}, &random, out.data());
    std::vector<int> rounded;
    for (const float value : out) rounded.push_back(static_cast<int>(std::lround(value)));
    flipped |= rounded == std::vector<int>{2, 1, 4, 3};
    straight |= rounded == std::vector<int>{1, 2, 3, 4};
    padded |= rounded == std::vector<int>{4, 0, 0, 0};
  }
  EXPECT_TRUE(flipped && straight && padded);
}

TEST(TransformTest, ErasesToTheMean) {
  Preprocessing pre{.resolution = 16, .channels = 1, .mean = {0.5f, 0, 0}, .std = {0.5f, 1, 1}};
  const Image image{16, 16, 1, std::vector<uint8_t>(256, 255)};
  Random random(1);
  std::vector<float> out(256);
  PixelWriter(pre).Write(image, {.random_erasing = 1}, &random, out.data());
  const auto erased = std::ranges::count(out, 0.0f);
  EXPECT_GE(erased, 2);
  EXPECT_LE(erased, 100);
  EXPECT_EQ(std::ranges::count(out, 1.0f), 256 - erased);
}

TEST(TransformTest, ResizesTheShorterSideAndCropsTheMiddle) {
  Image image{4, 8, 1, {}};
  for (int i = 0; i < 32; ++i) image.pixels.push_back(static_cast<uint8_t>(10 * (i % 8)));
  const Image half = ResizeShorterSide(image, 2);
  EXPECT_EQ(half.h, 2);
  EXPECT_EQ(half.w, 4);
  EXPECT_EQ(half.pixels, (std::vector<uint8_t>{5, 25, 45, 65, 5, 25, 45, 65}));  // area averages
  EXPECT_EQ(CentreCrop(half, 2).pixels, (std::vector<uint8_t>{25, 45, 25, 45}));
  const Image doubled = ResizeShorterSide(image, 8);
  EXPECT_EQ(doubled.w, 16);
}

}  // namespace
}  // namespace lathe::data
