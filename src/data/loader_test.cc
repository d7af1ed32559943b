#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/temp_folder_testing.h"
#include "data/in_memory.h"
#include "data/raw_testing.h"

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
    return x.count == y.count && x.images == y.images && x.labels == y.labels &&
           x.partner_labels == y.partner_labels && x.shares == y.shares;
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
                                         .random_resized_crop = true,
                                         .rand_augment = 2,
                                         .brightness = 0.4,
                                         .hue = 0.1,
                                         .mixup = 0.2,
                                         .cutmix = 1},
                        .batch = 16,
                        .seed = 5,
                        .training = true};
  const auto expected = Epoch(options, data, 2);
  ASSERT_EQ(expected.size(), 12u);
  for (const int threads : {0, 1, 3}) {
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

// Rows of all shards in the order of the whole batch.
std::vector<Batch> Joined(LoaderOptions options, const std::shared_ptr<const Dataset>& data) {
  std::vector<Batch> joined;
  for (options.shard = 0; options.shard < options.shards; ++options.shard) {
    const std::vector<Batch> part = Epoch(options, data, 1);
    joined.resize(part.size());
    for (size_t i = 0; i < part.size(); ++i) {
      const auto append = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
      };
      joined[i].count += part[i].count;
      append(joined[i].images, part[i].images);
      append(joined[i].labels, part[i].labels);
      append(joined[i].partner_labels, part[i].partner_labels);
      append(joined[i].shares, part[i].shares);
    }
  }
  return joined;
}

TEST(LoaderTest, ShardsTogetherGiveTheWholeBatch) {
  const auto data = Numbered(100, 6, 3);
  LoaderOptions options{.preprocessing = Raw(6, 3),
                        .augmentation = {.flip = true,
                                         .pad_crop = 1,
                                         .random_erasing = 0.5,
                                         .rand_augment = 2,
                                         .mixup = 1,
                                         .cutmix = 1},
                        .batch = 24,
                        .seed = 5,
                        .training = true};
  const std::vector<Batch> whole = Epoch(options, data, 1);
  ASSERT_EQ(whole.size(), 4u);
  for (const int shards : {2, 3, 4}) {
    for (const int threads : {0, 2}) {
      options.shards = shards;
      options.threads = threads;
      EXPECT_TRUE(Same(Joined(options, data), whole)) << shards;
    }
  }
  options.shards = 5;
  ExpectError(ErrorKind::kInput, "a batch of 24 cannot be divided among 5 processes",
              [&] { Loader(data, options); });
  options.batch = 252;  // more than there are: one batch, as far as it can be divided
  options.shards = 3;
  EXPECT_EQ(Joined(options, data)[0].count, 99);
}

TEST(LoaderTest, AugmentationDoesNotDependOnTheBatch) {
  const auto data = Numbered(64, 6, 3);
  LoaderOptions options{.preprocessing = Raw(6, 3),
                        .augmentation = {.flip = true, .pad_crop = 2, .rand_augment = 2},
                        .batch = 16,
                        .training = true};
  const auto pixels = [&] {
    std::vector<float> all;
    for (const Batch& batch : Epoch(options, data, 4)) {
      all.insert(all.end(), batch.images.begin(), batch.images.end());
    }
    return all;
  };
  const std::vector<float> expected = pixels();
  options.batch = 32;
  EXPECT_EQ(pixels(), expected);
  options.batch = 3;
  EXPECT_EQ(pixels(), std::vector<float>(expected.begin(), expected.begin() + 63 * 108));
}

TEST(LoaderTest, ShardsShareTheLastBatchOfAnEvaluation) {
  const auto data = Numbered(17, 2, 1);
  LoaderOptions options{.preprocessing = Raw(2, 1), .augmentation = {}, .batch = 5};
  const std::vector<Batch> whole = Epoch(options, data, 1);
  for (const int shards : {2, 3}) {
    options.shards = shards;
    EXPECT_TRUE(Same(Joined(options, data), whole)) << shards;
  }
  options.shards = 3;
  options.shard = 0;
  EXPECT_EQ(Epoch(options, data, 0).back().count, 0);  // 2 images for three shards
}

TEST(LoaderTest, MixesNeighboursWithTheirLabels) {
  const auto data = Numbered(45, 4, 1);
  LoaderOptions options{
      .preprocessing = Raw(4, 1), .augmentation = {}, .batch = 9, .seed = 2, .training = true};
  const std::vector<Batch> plain = Epoch(options, data, 0);
  EXPECT_TRUE(plain[0].shares.empty());
  options.augmentation.mixup = 0.8;
  const std::vector<Batch> mixed = Epoch(options, data, 0);
  ASSERT_EQ(mixed.size(), 5u);
  std::vector<float> shares;
  for (size_t b = 0; b < mixed.size(); ++b) {
    const float share = mixed[b].shares[0];
    shares.push_back(share);
    for (size_t i = 0; i < 9; ++i) {
      const size_t partner = i == 8 ? 8 : i ^ 1;
      EXPECT_EQ(mixed[b].labels[i], plain[b].labels[i]);
      EXPECT_EQ(mixed[b].partner_labels[i], plain[b].labels[partner]);
      EXPECT_EQ(mixed[b].shares[i], i == 8 ? 1 : share);
      for (size_t p = 0; p < 16; ++p) {
        const float own = plain[b].images[16 * i + p], other = plain[b].images[16 * partner + p];
        EXPECT_NEAR(mixed[b].images[16 * i + p], share * own + (1 - share) * other, 1e-3f);
      }
    }
  }
  EXPECT_NE(shares[0], shares[1]);
}

TEST(LoaderTest, EvaluationKeepsTheCropOfTheMiddle) {
  // 20 px, crop 0.8 for 8 px: resized to 10, one pixel is cut off all round.
  InMemoryImages images{.h = 20, .w = 20, .c = 1, .pixels = {}, .labels = {0}, .class_names = {}};
  for (int i = 0; i < 400; ++i) images.pixels.push_back(static_cast<uint8_t>(i % 20 / 2 * 10));
  Preprocessing pre = Raw(8, 1);
  pre.crop = 0.8;
  const auto batches = Epoch({.preprocessing = pre, .augmentation = {}, .batch = 1},
                             MakeInMemory(std::move(images), "labels"), 0);
  for (size_t x = 0; x < 8; ++x) {
    EXPECT_NEAR(batches[0].images[x], 10 * (static_cast<float>(x) + 1), 1e-3f);
  }
}

TEST(AugmentationTest, ReadsBackWhatItWrites) {
  const auto read = [](const std::string& text) {
    return ReadAugmentation(
        ConfigFile::ParseToml("augmentation = " + text, "r.toml").root().Table("augmentation"));
  };
  const std::string text = ToToml({.flip = true,
                                   .pad_crop = 3,
                                   .random_erasing = 0.5,
                                   .random_resized_crop = true,
                                   .crop_scale = 0.08,
                                   .rand_augment = 2,
                                   .rand_magnitude = 7,
                                   .rand_deviation = 0.25,
                                   .brightness = 0.1,
                                   .contrast = 0.2,
                                   .saturation = 0.3,
                                   .hue = 0.4,
                                   .mixup = 0.6,
                                   .cutmix = 0.7});
  EXPECT_EQ(ToToml(read(text)), text);
  EXPECT_THAT(text, testing::HasSubstr("crop_scale = 0.08"));
  EXPECT_THAT(text, testing::HasSubstr("cutmix = 0.7 }"));
  EXPECT_EQ(ToToml(read("{}")), ToToml(Augmentation()));
  for (const char* bad : {"crop_scale = 0", "hue = 0.6", "rand_magnitude = 11", "mixup = -1",
                          "rand_augment = -1", "random_erasing = 1.5", "brightness = 2"}) {
    ExpectError(ErrorKind::kInput, std::string(bad).substr(0, std::string(bad).find(' ')),
                [&] { read(fmt::format("{{ {} }}", bad)); });
  }
  ExpectError(ErrorKind::kInput, "mixup", [&] { read("{ mixpu = 1 }"); });
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

TEST(LoaderTest, PhotographsAreTheSameCachedOrNotAndWhateverTheThreads) {
  const std::filesystem::path flowers =
      std::filesystem::path(LATHE_SOURCE_DIR) / "../shared/data/flowers/val";
  if (!std::filesystem::exists(flowers)) GTEST_SKIP() << "no photographs in " << flowers;
  const TempFolder cache;
  LoaderOptions options{
      .preprocessing = {.resolution = 48, .channels = 3},
      .augmentation = {.flip = true, .random_resized_crop = true, .rand_augment = 2, .cutmix = 1},
      .batch = 50,
      .training = true};
  const auto plain = OpenImageFolder(flowers);
  const auto cached = OpenImageFolders({flowers}, {.cache = {.folder = cache.path(), .gb = 1}})[0];
  EXPECT_EQ(MeasurePreprocessing(*plain, 48).mean, MeasurePreprocessing(*cached, 48).mean);
  const std::vector<Batch> expected = Epoch(options, plain, 3);
  ASSERT_EQ(expected.size(), 5u);
  options.threads = 2;
  EXPECT_TRUE(Same(Epoch(options, plain, 3), expected));
  EXPECT_TRUE(Same(Epoch(options, cached, 3), expected));
  options.training = false;
  options.preprocessing.crop = 0.875;
  EXPECT_TRUE(Same(Epoch(options, cached, 0), Epoch(options, plain, 0)));
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

}  // namespace
}  // namespace lathe::data
