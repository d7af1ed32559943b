#include "data/preprocessing_file.h"

#include <gtest/gtest.h>

#include "base/temp_folder_testing.h"

namespace lathe::data {
namespace {

TEST(PreprocessingFileTest, ReadsBackWhatItWrites) {
  const Preprocessing written{.resolution = 96,
                              .channels = 3,
                              .crop = 0.875,
                              .mean = {0.1f, 0.25f, 0.4f},
                              .std = {0.3f, 0.2f, 0.7f}};
  const Preprocessing read = ParsePreprocessing(ToJson(written), "w");
  EXPECT_EQ(read.resolution, 96);
  EXPECT_EQ(read.channels, 3);
  EXPECT_EQ(read.crop, 0.875);
  EXPECT_EQ(read.mean, written.mean);
  EXPECT_EQ(read.std, written.std);
}

TEST(PreprocessingFileTest, FilesOfEarlierVersionsKeepAllOfThePicture) {
  const std::string text = R"({"resolution": 28, "channels": 1, "mean": [0.5], "std": [0.25]})";
  EXPECT_EQ(ParsePreprocessing(text, "w").crop, 1);
}

TEST(PreprocessingFileTest, NamesMistakes) {
  const auto expect = [](const std::string& message, const std::string& text) {
    ExpectError(ErrorKind::kInput, message, [&] { ParsePreprocessing(text, "w.safetensors"); });
  };
  expect("w.safetensors", "no JSON");
  expect("resolution", R"({"channels": 1, "mean": [0], "std": [1]})");
  expect("should have 3 numbers", R"({"resolution": 8, "channels": 3, "mean": [0], "std": [1]})");
  expect("should be positive", R"({"resolution": 8, "channels": 1, "mean": [0], "std": [0]})");
  expect("sdt", R"({"resolution": 8, "channels": 1, "mean": [0], "std": [1], "sdt": [1]})");
}

}  // namespace
}  // namespace lathe::data
