#include "net/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "net/zoo.h"

namespace lathe::net {
namespace {

using ::testing::HasSubstr;

Graph SmallGraph() { return Lower(ZooNetwork("mobilenet_v3_small@32x0.5", {.classes = 10})); }

TEST(RandomWeightsTest, FitsTheGraphAndTheSeed) {
  const Graph graph = SmallGraph();
  const Weights weights = RandomWeights(graph, 1);
  EXPECT_NO_THROW(CheckWeights(graph, weights));
  const Tensor& stem = weights.at("l00.conv.weight");
  EXPECT_EQ(stem.values, RandomWeights(graph, 1).at("l00.conv.weight").values);
  EXPECT_NE(stem.values, RandomWeights(graph, 2).at("l00.conv.weight").values);
  EXPECT_NE(stem.values.front(), weights.at("l01.depthwise.weight").values.front());
  EXPECT_EQ(weights.at("l00.conv.bn.weight").values.front(), 1.0f);
  EXPECT_EQ(weights.at("l00.conv.bn.var").values.front(), 1.0f);
  EXPECT_EQ(weights.at("l00.conv.bn.mean").values.front(), 0.0f);
  EXPECT_EQ(weights.at("l12.classifier.bias").values.front(), 0.0f);
}

TEST(RandomWeightsTest, AreHeNormalAfterRelu) {
  const Graph graph = Lower(ZooNetwork("mobilenet_v2@32x0.35"));
  const Weights weights = RandomWeights(graph, 3);
  const Tensor& tensor = weights.at("l17.project.weight");  // 336 -> 112, behind a ReLU6
  double sum = 0, squares = 0;
  for (float value : tensor.values) {
    sum += value;
    squares += double{value} * value;
  }
  const double n = static_cast<double>(tensor.values.size());
  EXPECT_NEAR(sum / n, 0, 0.002);
  EXPECT_NEAR(std::sqrt(squares / n), std::sqrt(2.0 / 336), 0.001);
}

TEST(CheckWeightsTest, NamesTheFirstProblem) {
  const Graph graph = SmallGraph();
  const Weights good = RandomWeights(graph, 1);
  const auto error = [&](const std::function<void(Weights&)>& change) {
    Weights weights = good;
    change(weights);
    return MessageOf(ErrorKind::kInput, [&] { CheckWeights(graph, weights); });
  };
  EXPECT_THAT(error([](Weights& w) { w.tensors.erase("l03.project.weight"); }),
              HasSubstr("no tensor 'l03.project.weight'"));
  EXPECT_THAT(error([](Weights& w) { w.tensors["extra"]; }), HasSubstr("'extra' does not belong"));
  EXPECT_THAT(error([](Weights& w) { w.tensors["l00.conv.weight"].shape = {8, 3, 9}; }),
              HasSubstr("should have shape [8, 3, 3, 3], but has shape [8, 3, 9]"));
  EXPECT_THAT(error([](Weights& w) { w.tensors["l00.conv.weight"].values.pop_back(); }),
              HasSubstr("215 values"));
  EXPECT_THAT(error([](Weights& w) { w.tensors["l00.conv.weight"].values[5] = NAN; }),
              HasSubstr("value 5 is nan"));
  EXPECT_THAT(error([](Weights& w) { w.tensors["l00.conv.bn.var"].values[0] = INFINITY; }),
              HasSubstr("not finite"));
}

// ---- safetensors ----

class SafetensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              fmt::format("lathe_safetensors_{}",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "w.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Weights Read(std::string_view header, size_t data_bytes, uint64_t header_size = UINT64_MAX) {
    if (header_size == UINT64_MAX) header_size = header.size();
    std::string content(8, '\0');
    std::memcpy(content.data(), &header_size, 8);
    content += header;
    content.append(data_bytes, '\0');
    std::ofstream(path_, std::ios::binary) << content;
    return ReadSafetensors(path_);
  }
  std::string ReadError(std::string_view header, size_t data_bytes,
                        uint64_t header_size = UINT64_MAX) {
    const std::string message =
        MessageOf(ErrorKind::kInput, [&] { Read(header, data_bytes, header_size); });
    EXPECT_THAT(message, HasSubstr("w.safetensors"));
    return message;
  }

  std::filesystem::path folder_, path_;
};

TEST_F(SafetensorsTest, RoundTrips) {
  const Graph graph = SmallGraph();
  Weights weights = RandomWeights(graph, 1);
  weights.metadata = {{"format", "pt"}, {"a \"key\"", "line\nbreak"}};
  weights.tensors["scalar"] = {{}, {1.5f}};
  weights.tensors["empty"] = {{0, 3}, {}};
  WriteSafetensors(path_, weights);
  const Weights read = ReadSafetensors(path_);
  EXPECT_EQ(read.metadata, weights.metadata);
  ASSERT_EQ(read.tensors.size(), weights.tensors.size());
  for (const auto& [name, tensor] : weights.tensors) {
    EXPECT_EQ(read.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(read.at(name).values, tensor.values) << name;
  }
}

TEST_F(SafetensorsTest, WidensHalfPrecision) {
  const uint16_t values[] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x7bff, 0x3f80, 0xc040};
  std::string header =
      R"({"h":{"dtype":"F16","shape":[5],"data_offsets":[0,10]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[10,14]}})";
  uint64_t size = header.size();
  std::string content(reinterpret_cast<const char*>(&size), 8);
  content += header;
  content.append(reinterpret_cast<const char*>(values), sizeof(values));
  WriteFileAtomically(path_, content);
  const Weights read = ReadSafetensors(path_);
  EXPECT_EQ(read.at("h").values, (std::vector<float>{1.0f, -2.0f, 0x1p-24f, INFINITY, 65504.0f}));
  EXPECT_EQ(read.at("b").values, (std::vector<float>{1.0f, -3.0f}));
}

TEST_F(SafetensorsTest, RefusesHostileHeaders) {
  const auto entry = [](std::string_view shape, std::string_view offsets,
                        std::string_view type = "F32") {
    return fmt::format(R"({{"t":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", type, shape,
                       offsets);
  };
  EXPECT_NO_THROW(Read(entry("[2]", "[0,8]"), 8));
  EXPECT_THAT(ReadError(entry("[2]", "[0,8]"), 4), HasSubstr("end at byte 8"));
  EXPECT_THAT(ReadError(entry("[3]", "[0,8]"), 8), HasSubstr("larger than the file"));
  EXPECT_THAT(ReadError(entry("[1]", "[0,8]"), 8), HasSubstr("cover 8 bytes"));
  EXPECT_THAT(ReadError(entry("[2]", "[8,0]"), 8), HasSubstr("data_offsets"));
  EXPECT_THAT(ReadError(entry("[2]", "[0,8,8]"), 8), HasSubstr("data_offsets"));
  EXPECT_THAT(ReadError(entry("[2]", "[-8,0]"), 8), HasSubstr("data_offsets"));
  EXPECT_THAT(ReadError(entry("[2]", "[0,8]"), 12), HasSubstr("4 bytes follow"));
  EXPECT_THAT(ReadError(entry("[2]", "[4,12]"), 12), HasSubstr("leaves a hole"));
  EXPECT_THAT(ReadError(entry("[1000000000000000000]", "[0,8]"), 8),
              HasSubstr("larger than the file"));
  EXPECT_THAT(ReadError(entry("[4294967296,4294967296]", "[0,0]"), 8),
              HasSubstr("larger than the file"));
  EXPECT_THAT(ReadError(entry("[99999999999999999999]", "[0,8]"), 8), HasSubstr("shape"));
  EXPECT_THAT(ReadError(entry("[-2]", "[0,8]"), 8), HasSubstr("shape"));
  EXPECT_THAT(ReadError(entry("[2.0]", "[0,8]"), 8), HasSubstr("shape"));
  EXPECT_THAT(ReadError(entry("[2]", "[0,8]", "F64"), 8), HasSubstr("dtype"));
  EXPECT_THAT(ReadError(R"({"t":3})", 0), HasSubstr("t"));
  EXPECT_THAT(ReadError(R"({"t":{"dtype":"F32","shape":[2]}})", 8), HasSubstr("data_offsets"));
  EXPECT_THAT(ReadError(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8),
              HasSubstr("'x'"));
  EXPECT_THAT(ReadError(R"({"__metadata__":{"a":1}})", 0), HasSubstr("a"));
  EXPECT_THAT(ReadError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                           "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                        12),
              HasSubstr("overlaps"));
  EXPECT_THAT(ReadError(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                           "a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                        8),
              HasSubstr("twice"));
  EXPECT_THAT(ReadError("{\"a\":", 0), HasSubstr("w.safetensors:1"));
  EXPECT_THAT(ReadError("[]", 0), HasSubstr("object"));
  EXPECT_THAT(ReadError(std::string(3 << 20, '['), 0), HasSubstr("nest"));
  EXPECT_THAT(ReadError("{}", 0, 1000000000000000000), HasSubstr("1000000000000000000 bytes"));
  EXPECT_THAT(ReadError("{}", 0, 3), HasSubstr("header of 3 bytes"));
  WriteFileAtomically(path_, "1234567");
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ReadSafetensors(path_); }), HasSubstr("too few"));
  EXPECT_THAT(
      MessageOf(ErrorKind::kInput, [&] { ReadSafetensors(folder_ / "absent.safetensors"); }),
      HasSubstr("absent.safetensors"));
}

TEST_F(SafetensorsTest, SurvivesRandomDamage) {
  Weights weights;
  weights.tensors["a"] = {{2, 2}, {1, 2, 3, 4}};
  weights.tensors["b"] = {{3}, {5, 6, 7}};
  WriteSafetensors(path_, weights);
  const std::string good = ReadFile(path_);
  std::mt19937 random(11);
  for (int i = 0; i < 150; ++i) {
    std::string bad = good;
    for (int k = 0; k < 2; ++k) bad[random() % bad.size()] = static_cast<char>(random());
    std::ofstream(path_, std::ios::binary) << bad;  // without an fsync for each
    try {
      ReadSafetensors(path_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput) << error.what();
    }
  }
}

}  // namespace
}  // namespace lathe::net
