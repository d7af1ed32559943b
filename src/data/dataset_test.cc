#include "data/dataset.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <set>

#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "data/pictures_testing.h"

namespace lathe::data {
namespace {

std::string BigEndian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

// Image i is filled with pixel values i, i + 1, ...
std::string IdxImages(uint32_t count, uint32_t h, uint32_t w) {
  std::string text = BigEndian(0x00000803) + BigEndian(count) + BigEndian(h) + BigEndian(w);
  for (uint32_t i = 0; i < count; ++i) {
    for (uint32_t p = 0; p < h * w; ++p) text += static_cast<char>(i + p);
  }
  return text;
}

std::string IdxLabels(uint32_t count, uint32_t classes) {
  std::string text = BigEndian(0x00000801) + BigEndian(count);
  for (uint32_t i = 0; i < count; ++i) text += static_cast<char>(i % classes);
  return text;
}

std::string Gzip(const std::string& text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class IdxTest : public testing::Test {
 protected:
  std::shared_ptr<const Dataset> Open(const std::string& images, const std::string& labels,
                                      std::vector<std::string> names = {}) {
    WriteFileAtomically(folder_ / "images", images);
    WriteFileAtomically(folder_ / "labels", labels);
    return OpenIdx(folder_ / "images", folder_ / "labels", std::move(names));
  }
  void ExpectFailure(const std::string& message, const std::string& images,
                     const std::string& labels, std::vector<std::string> names = {}) {
    ExpectError(ErrorKind::kInput, message, [&] { Open(images, labels, names); });
  }
  TempFolder folder_;
};

TEST_F(IdxTest, ReadsPlainAndGzippedFiles) {
  for (const bool gzip : {false, true}) {
    const std::string images = IdxImages(7, 3, 4), labels = IdxLabels(7, 3);
    const auto data = gzip ? Open(Gzip(images), Gzip(labels)) : Open(images, labels);
    ASSERT_EQ(data->size(), 7);
    EXPECT_EQ(data->channels(), 1);
    EXPECT_EQ(data->class_names(), (std::vector<std::string>{"0", "1", "2"}));
    EXPECT_EQ(data->Label(5), 2);
    const Image image = data->Load(5);
    EXPECT_EQ(image.h, 3);
    EXPECT_EQ(image.w, 4);
    EXPECT_EQ(image.pixels, (std::vector<uint8_t>{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}));
  }
}

TEST_F(IdxTest, ExplainsDamagedFiles) {
  const std::string images = IdxImages(5, 4, 4), labels = IdxLabels(5, 2);
  ExpectFailure("expected magic 0x00000803, found 0x00000801", labels, labels);
  ExpectFailure("images: truncated: its header promises 80 bytes of content (5 x 4 x 4), found 70",
                images.substr(0, images.size() - 10), labels);
  ExpectFailure("has more content than the 80 bytes", images + "x", labels);
  const std::string zipped = Gzip(images);
  ExpectFailure("images: damaged or truncated gzip file", zipped.substr(0, zipped.size() - 12),
                labels);
  std::string flipped = zipped;
  flipped[flipped.size() - 6] =
      static_cast<char>(flipped[flipped.size() - 6] ^ 0x55);  // its checksum
  ExpectFailure("images: damaged or truncated gzip file", flipped, labels);
  ExpectFailure("has 5 images but", images, IdxLabels(4, 2));
  ExpectFailure("has label 1, but there are 1 classes", images, labels, {"only"});
  ExpectFailure("ends inside its header", images.substr(0, 9), labels);
  ExpectFailure("impossible size",
                BigEndian(0x803) + BigEndian(0xffffffff) + BigEndian(0xffff) + BigEndian(0xffff),
                labels);
  ExpectFailure("expected magic", "", labels);
}

TEST_F(IdxTest, AMissingFileSaysHowToGetIt) {
  ExpectError(
      ErrorKind::kInput,
      "nowhere.gz: no such file; Fashion-MNIST comes with `apt-get install dataset-fashion-mnist`",
      [&] { OpenIdx(folder_ / "nowhere.gz", folder_ / "labels", {}); });
}

TEST(CifarTest, ReadsTenAndHundredClassRecords) {
  const TempFolder folder;
  for (const size_t label_bytes : {size_t{1}, size_t{2}}) {
    std::string record(label_bytes + 3072, '\0');
    record[label_bytes - 1] = 7;
    for (size_t c = 0; c < 3; ++c)
      record[label_bytes + 1024 * c + 33] = static_cast<char>(10 * (c + 1));  // row 1, column 1
    WriteFileAtomically(folder / "batch", record + record);
    const auto data = OpenCifar({folder / "batch", folder / "batch"}, {});
    ASSERT_EQ(data->size(), 4);
    EXPECT_EQ(data->Label(3), 7);
    EXPECT_EQ(data->channels(), 3);
    const Image image = data->Load(3);
    const std::vector<uint8_t> pixel(image.pixels.begin() + 33 * 3, image.pixels.begin() + 34 * 3);
    EXPECT_EQ(pixel, (std::vector<uint8_t>{10, 20, 30}));
  }
  WriteFileAtomically(folder / "batch", std::string(3000, '\0'));
  ExpectError(ErrorKind::kInput, "3000 bytes are no whole number of CIFAR-10",
              [&] { OpenCifar({folder / "batch"}, {}); });
}

class SplitTest : public testing::Test {
 protected:
  SplitTest() {
    for (const char* part : {"train", "t10k"}) {
      const uint32_t count = part[1] == 'r' ? 103 : 20;
      WriteFileAtomically(folder_ / fmt::format("{}-images-idx3-ubyte.gz", part),
                          Gzip(IdxImages(count, 2, 2)));
      WriteFileAtomically(folder_ / fmt::format("{}-labels-idx1-ubyte", part), IdxLabels(count, 4));
    }
  }
  Splits Open(double validation, uint64_t seed) {
    return OpenSplits({.kind = "idx", .path = folder_.path(), .validation = validation}, seed);
  }
  static std::map<int, int> Counts(const Dataset& data) {
    std::map<int, int> counts;
    for (int64_t i = 0; i < data.size(); ++i) ++counts[data.Label(i)];
    return counts;
  }
  // The first pixel tells the images of one class apart.
  static std::vector<int> Ids(const Dataset& data) {
    std::vector<int> ids;
    for (int64_t i = 0; i < data.size(); ++i) ids.push_back(data.Load(i).pixels[0]);
    return ids;
  }
  TempFolder folder_;
};

TEST_F(SplitTest, ValidationKeepsTheSharesOfTheClasses) {
  const Splits splits = Open(21, 1);  // 103 images: 26, 26, 26, 25
  EXPECT_EQ(splits.train->size(), 103);
  EXPECT_EQ(splits.test->size(), 20);
  ASSERT_EQ(splits.search_val->size(), 21);
  ASSERT_EQ(splits.search_train->size(), 82);
  for (const auto& [label, count] : Counts(*splits.search_val)) EXPECT_GE(count, 5) << label;
  const int64_t row = std::stoll(splits.search_val->Name(7));
  EXPECT_EQ(splits.train->Label(row), splits.search_val->Label(7));
  EXPECT_EQ(splits.train->Load(row).pixels, splits.search_val->Load(7).pixels);
  std::vector<int> all = Ids(*splits.search_train);
  const std::vector<int> val = Ids(*splits.search_val);
  all.insert(all.end(), val.begin(), val.end());
  EXPECT_EQ(std::set<int>(all.begin(), all.end()).size(), 103u);  // nothing lost, nothing twice
}

TEST_F(SplitTest, DependsOnTheSeedAlone) {
  EXPECT_EQ(Ids(*Open(0.2, 1).search_val), Ids(*Open(0.2, 1).search_val));
  EXPECT_NE(Ids(*Open(0.2, 1).search_val), Ids(*Open(0.2, 2).search_val));
  EXPECT_EQ(Open(0.2, 1).search_val->size(), 21);
}

TEST_F(SplitTest, RefusesToTakeEverything) {
  ExpectError(ErrorKind::kInput, "100 of 103 images would leave too few", [&] { Open(100, 1); });
}

TEST(SplitFolderTest, UsesTrainAndValOrSplitsOneFolder) {
  const TempFolder folder;
  const std::string png = EncodePng(3, 3, SPNG_COLOR_TYPE_TRUECOLOR, 3);
  for (const char* part : {"train/a", "train/b", "val/a", "val/b"}) {
    for (int i = 0; i < 10; ++i)
      WriteFileAtomically(folder / fmt::format("{}/{}.png", part, i), png);
  }
  const DataConfig config{
      .kind = "image-folder", .path = folder.path(), .validation = 0.2, .cache = folder / "cache"};
  const Splits both = OpenSplits(config, 1);
  EXPECT_EQ(both.train->size(), 20);
  EXPECT_EQ(both.test->size(), 20);
  EXPECT_EQ(both.search_val->size(), 4);
  DataConfig one = config;
  one.path = folder / "train";
  const Splits split = OpenSplits(one, 1);
  EXPECT_EQ(split.test->size(), 4);
  EXPECT_EQ(split.train->size(), 16);
  EXPECT_EQ(split.search_val->size(), 3);
  fs::remove_all(folder / "val/b");
  MakeFolder(folder / "val/c");
  WriteFileAtomically(folder / "val/c/0.png", png);
  ExpectError(ErrorKind::kInput, "train/ has the classes a, b; val/ has a, c",
              [&] { OpenSplits(config, 1); });
}

TEST(DataConfigTest, TheCacheIsRelativeToTheFileThatNamesIt) {
  const TempFolder folder;
  WriteFileAtomically(folder / "study/s.toml", "kind = \"fashion-mnist\"\ncache = \"../pixels\"\n");
  const ConfigFile file = ConfigFile::LoadToml(folder / "study/s.toml");
  EXPECT_EQ(ReadDataConfig(file.root()).cache, folder / "pixels");
}

TEST(DataConfigTest, ReadsBackWhatItWrites) {
  const auto read = [](const std::string& text) {
    const ConfigFile file = ConfigFile::ParseToml(text, "s.toml");
    return ReadDataConfig(file.root().Table("data"));
  };
  const DataConfig config{.kind = "cifar",
                          .path = "/a \"b\"\\c\nd",
                          .validation = 5000,
                          .unreadable = "skip",
                          .cache = "/c",
                          .cache_gb = 1.5};
  const DataConfig again = read(ToToml(config));
  EXPECT_EQ(again.kind, config.kind);
  EXPECT_EQ(again.path, config.path);
  EXPECT_EQ(again.validation, config.validation);
  EXPECT_EQ(again.unreadable, "skip");
  EXPECT_EQ(again.cache, "/c");
  EXPECT_EQ(again.cache_gb, 1.5);
  EXPECT_EQ(ToToml(DataConfig{.kind = "idx", .path = "x"}),
            "[data]\nkind = \"idx\"\npath = \"x\"\nvalidation = 0.1\nunreadable = \"fail\"\n");
  ExpectError(ErrorKind::kInput, "unreadable",
              [&] { read("[data]\nkind = \"idx\"\npath = \"x\"\nunreadable = \"keep\"\n"); });
  ExpectError(ErrorKind::kInput, "cache_gb",
              [&] { read("[data]\nkind = \"idx\"\npath = \"x\"\ncache_gb = -1\n"); });
  EXPECT_EQ(read("[data]\nkind = \"fashion-mnist\"\n").path, "/usr/share/datasets/fashion-mnist");
  ExpectError(ErrorKind::kInput, "s.toml:3",
              [&] { read("[data]\nkind = \"idx\"\npaht = \"x\"\npath = \"y\"\n"); });
  ExpectError(ErrorKind::kInput, "validation",
              [&] { read("[data]\nkind = \"idx\"\npath = \"x\"\nvalidation = 1.5\n"); });
}

TEST(FashionMnistTest, OpensTheDebianPackage) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  const Splits splits =
      OpenSplits({.kind = "fashion-mnist", .path = folder, .validation = 5000}, 1);
  EXPECT_EQ(splits.train->size(), 60000);
  EXPECT_EQ(splits.test->size(), 10000);
  EXPECT_EQ(splits.search_train->size(), 55000);
  EXPECT_EQ(splits.train->class_names()[static_cast<size_t>(splits.train->Label(0))], "Ankle boot");
}

}  // namespace
}  // namespace lathe::data
