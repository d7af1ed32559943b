#include "latency/lut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "latency/tiny_networks_testing.h"

namespace lathe::latency {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class LutFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("lut_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "lut.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Lut Example() {
    Lut lut;
    lut.target = {.engine = "openvino",
                  .engine_version = "1.2",
                  .device = "CPU",
                  .device_name = "a \"chip\"",
                  .options = {}};
    lut.target.options = {
        .threads = 2, .batch = 4, .precision = engine::Precision::kBf16, .device = "CPU"};
    lut.overhead_us = 12.345678901234567;
    lut.noise_floor = 1.0 / 3;
    lut.band =
        ErrorBand{.mape = 0.03, .p95 = 0.08, .bias = -0.01, .spearman = 0.99, .networks = 12};
    lut.key_band = KeyBand{.median = 0.02, .p90 = 0.07, .keys = 33};
    const net::Network network = TinyNetwork(1);
    double latency_us = 1.0 / 7;
    for (const net::Layer& layer : network.layers) {
      const LayerKey key = KeyOf(layer);
      lut.entries[key] = {
          .layer = LayerOf(key), .latency_us = latency_us *= 3.3, .spread = 0.1, .samples = 5};
    }
    for (const Part& part : PartsOf(network.layers[2])) {
      lut.parts[KeyOf(part)] = {
          .part = part, .latency_us = latency_us /= 2.1, .spread = 0.2, .samples = 3};
    }
    lut.reference = Reference{.network = network, .latency_us = 321.5};
    return lut;
  }

  std::string ReadError() const {
    return MessageOf(ErrorKind::kInput, [&] { ReadLut(path_); });
  }

  // The error for the example's file with one text replaced.
  std::string ErrorAfter(const std::string& from, const std::string& to) const {
    WriteLut(path_, Example());
    std::string text = ReadFile(path_);
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from << " in\n" << text;
    WriteFileAtomically(path_, text.replace(at, from.size(), to));
    return ReadError();
  }

  std::filesystem::path folder_, path_;
};

TEST_F(LutFile, RoundTripsExactly) {
  const Lut lut = Example();
  WriteLut(path_, lut);
  const Lut read = ReadLut(path_);
  EXPECT_EQ(read.target, lut.target);
  EXPECT_EQ(read.overhead_us, lut.overhead_us);
  EXPECT_EQ(read.noise_floor, lut.noise_floor);
  ASSERT_TRUE(read.band);
  EXPECT_EQ(read.band->p95, lut.band->p95);
  EXPECT_EQ(read.band->networks, lut.band->networks);
  ASSERT_TRUE(read.key_band);
  EXPECT_EQ(read.key_band->p90, 0.07);
  EXPECT_EQ(read.key_band->keys, 33);
  ASSERT_TRUE(read.reference);
  EXPECT_EQ(read.reference->latency_us, 321.5);
  EXPECT_EQ(read.reference->network.input, lut.reference->network.input);
  ASSERT_EQ(read.entries.size(), lut.entries.size());
  for (const auto& [key, entry] : lut.entries) {
    const LutEntry& found = read.entries.at(key);
    EXPECT_EQ(found.latency_us, entry.latency_us);
    EXPECT_EQ(found.spread, entry.spread);
    EXPECT_EQ(found.samples, entry.samples);
    EXPECT_EQ(found.layer, entry.layer);
    EXPECT_EQ(read.Find(entry.layer), entry.latency_us);
  }
  ASSERT_EQ(read.parts.size(), 3u);
  for (const auto& [key, entry] : lut.parts) {
    const PartEntry& found = read.parts.at(key);
    EXPECT_EQ(found.part, entry.part);
    EXPECT_EQ(found.latency_us, entry.latency_us);
    EXPECT_EQ(found.spread, entry.spread);
    EXPECT_EQ(found.samples, entry.samples);
  }
  net::Layer unknown = lut.reference->network.layers[0];
  unknown.out_channels = 777;
  EXPECT_FALSE(read.Find(unknown));
}

TEST_F(LutFile, EmptyOneRoundTrips) {
  Lut lut;
  lut.target = Example().target;
  WriteLut(path_, lut);
  EXPECT_TRUE(ReadLut(path_).entries.empty());
}

TEST_F(LutFile, VersionOneHadNoParts) {
  Lut lut = Example();
  lut.parts.clear();
  WriteLut(path_, lut);
  std::string text = ReadFile(path_);
  WriteFileAtomically(path_, text.replace(text.find("\"version\": 2"), 12, "\"version\": 1"));
  EXPECT_EQ(ReadLut(path_).entries.size(), lut.entries.size());
}

TEST_F(LutFile, SaysWhatIsWrongAndWhere) {
  const std::string name = path_.string();
  EXPECT_THAT(ErrorAfter("lathe-lut", "lathe-network"),
              AllOf(HasSubstr(name), HasSubstr("not a LUT")));
  EXPECT_THAT(ErrorAfter("\"version\": 2", "\"version\": 3"),
              AllOf(HasSubstr(name + ":3"), HasSubstr("newer Lathe")));
  EXPECT_THAT(ErrorAfter("overhead_us", "overhaed_us"),
              AllOf(HasSubstr(name + ":"), HasSubstr("'overhead_us'")));
  EXPECT_THAT(ErrorAfter("\"bf16\"", "\"bf61\""), AllOf(HasSubstr("precision"), HasSubstr("bf16")));
  EXPECT_THAT(ErrorAfter("\"samples\"", "\"sample\""), HasSubstr("unknown key 'sample'"));
  EXPECT_THAT(ErrorAfter("\"key\":\"conv_", "\"key\":\"cnov_"),
              AllOf(HasSubstr(name + ":"), HasSubstr("'cnov'")));
  EXPECT_THAT(ErrorAfter("\"key\":\"conv_i12x8x8", "\"key\":\"conv_i12x8"),
              AllOf(HasSubstr(name + ":"), HasSubstr("'i12x8'")));
  EXPECT_THAT(ErrorAfter("\"target\"", "\"tagret\""), HasSubstr("target"));
  EXPECT_THAT(ErrorAfter("\"entries\"", "\"entires\""), HasSubstr("entries"));
}

TEST_F(LutFile, LatenciesMustBePositiveNumbers) {
  const std::string key = KeyOf(TinyNetwork(1).layers[0]);
  const std::string good = "\"key\":\"" + key + "\",\"latency_us\":";
  const auto error = [&](const std::string& number) {
    return ErrorAfter(good + "0.47142857142857136", good + number);
  };
  for (const std::string number : {"0", "-1.5", "1e999", "null", "NaN", "\"fast\""}) {
    EXPECT_THAT(error(number), HasSubstr(path_.string() + ":")) << number;
  }
  EXPECT_THAT(error("0"), HasSubstr(key));
  EXPECT_THAT(error("-1.5"), HasSubstr(key));
}

TEST_F(LutFile, AKeyTwiceIsAnError) {
  WriteLut(path_, Example());
  std::string text = ReadFile(path_);
  const size_t begin = text.find("{\"key\"");
  const std::string entry = text.substr(begin, text.find('}', begin) - begin + 1);
  WriteFileAtomically(path_, text.insert(begin, entry + ",\n    "));
  EXPECT_THAT(ReadError(), AllOf(HasSubstr("twice"), HasSubstr(Example().entries.begin()->first)));
}

TEST_F(LutFile, CutShortAnywhereIsAnError) {
  WriteLut(path_, Example());
  const std::string text = ReadFile(path_);
  for (size_t size = 0; size + 2 < text.size(); size += 61) {
    WriteFileAtomically(path_, text.substr(0, size));
    EXPECT_THAT(ReadError(), AllOf(HasSubstr(path_.string()), HasSubstr("cut short"))) << size;
  }
}

TEST_F(LutFile, MissingFileIsNotCalledBroken) {
  EXPECT_THAT(ReadError(), AllOf(HasSubstr(path_.string()), testing::Not(HasSubstr("cut short"))));
}

TEST_F(LutFile, NaNIsNeverWritten) {
  Lut lut = Example();
  lut.entries.begin()->second.latency_us = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(WriteLut(path_, lut), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(LutFile, TargetMismatchNamesEveryField) {
  const Lut lut = Example();
  CheckTarget(lut, lut.target, path_);
  engine::Fingerprint other = lut.target;
  other.engine_version = "1.3";
  other.options.threads = 8;
  other.options.precision = engine::Precision::kF32;
  try {
    CheckTarget(lut, other, path_);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(
        error.what(),
        AllOf(HasSubstr(path_.string()), HasSubstr("engine_version is '1.2', here it is '1.3'"),
              HasSubstr("threads is '2', here it is '8'"), HasSubstr("precision is 'bf16'"),
              testing::Not(HasSubstr("batch is"))));
  }
}

}  // namespace
}  // namespace lathe::latency
