#include "deploy/package.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "deploy/stripes_testing.h"
#include "net/network_file.h"
#include "net/zoo.h"

namespace lathe::deploy {
namespace {

TEST(WritePackage, AppearsWholeAndReadsBack) {
  const fs::path folder = fs::path(testing::TempDir()) / "package_test" / "01";
  fs::remove_all(folder.parent_path());
  Package package;
  package.network = net::ZooNetwork("mobilenet_v2@32x0.25", {.channels = 1, .classes = 3});
  package.weights = net::RandomWeights(net::Lower(package.network), 1);
  package.class_names = Stripes().class_names();
  package.origin = "trial 7";
  package.command = "lathe search x.toml";
  package.preprocessing = kPlain;
  package.preprocessing.resolution = 32;
  package.cost = {.trials = 24, .search_seconds = 90, .training_seconds = 60};
  package.variants = {
      {.precision = engine::Precision::kF32,
       .file = kModelFile,
       .measured = {.median_us = 230},
       .verification = {.images = 12, .correct_trained = 12, .correct_exported = 12}},
      {.precision = engine::Precision::kInt8,
       .file = kInt8File,
       .measured = {.median_us = 120},
       .verification = {.images = 12, .correct_trained = 12, .correct_exported = 9}}};
  package.quantized = {.sensitivity = {{.layer = 2, .error = 0.25}}};
  package.quantized->quantization.float_layers = {2};
  package.onnx_files = {{kModelFile, "onnx bytes"}, {kInt8File, "int8 bytes"}};
  package.triton_onnx = "any batch";
  package.latency_budget_us = 250;
  package.measured = {.median_us = 231.4, .p10_us = 230, .p90_us = 240, .runs = 10};
  for (int round = 0; round < 2; ++round) {  // the second replaces the first
    WritePackage(folder, package);
    EXPECT_EQ(ReadFile(folder / "model.onnx"), "onnx bytes");
    EXPECT_EQ(ReadFile(folder / "model-int8.onnx"), "int8 bytes");
    EXPECT_EQ(ReadFile(folder / "triton/mobilenet_v2_32x0_25/1/model.onnx"), "any batch");
    EXPECT_EQ(net::ReadNetwork(folder / "network.json"), package.network);
    const net::Weights weights = net::ReadSafetensors(folder / "weights.safetensors");
    net::CheckWeights(net::Lower(package.network), weights);
    EXPECT_TRUE(weights.metadata.contains("preprocessing"));
  }
  const std::string card = ReadFile(folder / "card.md");
  for (const char* part : {"trial 7", "0.231", "0.250", "0.120", "100.00 %", "75.00 %", "24 trials",
                           "| 2 | irb | 2.50e-01 | stays float |", "trtexec --onnx=model.onnx",
                           "lathe search x.toml"}) {
    EXPECT_NE(card.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(card.find("<script>"), std::string::npos);
  const std::string config = ReadFile(folder / "triton/mobilenet_v2_32x0_25/config.pbtxt");
  EXPECT_NE(config.find("dims: [ 1, 32, 32 ]"), std::string::npos) << config;
  for (const char* file : {"examples/classify.py", "examples/classify.cc"}) {
    const std::string example = ReadFile(folder / file);
    EXPECT_NE(example.find(R"("plain", "<script>alert(1)</script>", "a|b")"), std::string::npos);
    EXPECT_EQ(example.find('@'), std::string::npos) << file;
  }
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder.parent_path())) ++entries;
  EXPECT_EQ(entries, 1u) << "no temporary folder is left";
}

TEST(WritePackage, LeavesNothingBehindWhenItFails) {
  const fs::path folder = fs::path(testing::TempDir()) / "package_fail" / "01";
  fs::remove_all(folder.parent_path());
  Package package;
  package.network = net::ZooNetwork("mobilenet_v2@32x0.25", {.channels = 1, .classes = 3});
  package.weights = net::RandomWeights(net::Lower(package.network), 1);
  package.weights.tensors.begin()->second.values.pop_back();  // does not fit its shape
  package.variants = {{.file = kModelFile}};
  EXPECT_THROW(WritePackage(folder, package), Error);
  EXPECT_FALSE(fs::exists(folder));
}

}  // namespace
}  // namespace lathe::deploy
