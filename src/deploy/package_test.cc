#include "deploy/package.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "net/network_file.h"
#include "net/zoo.h"

namespace lathe::deploy {
namespace {

// Grey 4 x 4 images; image i has pixel value 10 * i everywhere and label i % 3.
class Stripes : public data::Dataset {
 public:
  int64_t size() const override { return 12; }
  int channels() const override { return 1; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int Label(int64_t index) const override { return static_cast<int>(index % 3); }
  data::Image Load(int64_t index, int) const override {
    return {.h = 4,
            .w = 4,
            .c = 1,
            .pixels = std::vector<uint8_t>(16, static_cast<uint8_t>(10 * index))};
  }

 private:
  std::vector<std::string> names_ = {"plain", "<script>alert(1)</script>", "a|b"};
};

// Answers with the right label, but for images listed as wrong; `offset` is added to every logit.
std::vector<float> Answer(std::span<const float> images, int count, float offset,
                          const std::vector<int>& wrong) {
  std::vector<float> logits(static_cast<size_t>(count) * 3, offset);
  const size_t pixels = images.size() / static_cast<size_t>(count);
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const int index = static_cast<int>(std::lround(images[i * pixels] * 25.5));
    const bool is_wrong = std::ranges::find(wrong, index) != wrong.end();
    logits[i * 3 + static_cast<size_t>((index + (is_wrong ? 1 : 0)) % 3)] += 1;
  }
  return logits;
}

class Scripted : public engine::CompiledModel {
 public:
  Scripted(float offset, std::vector<int> wrong) : offset_(offset), wrong_(std::move(wrong)) {}
  std::vector<float> Run(std::span<const float> images, int count) override {
    return Answer(images, count, offset_, wrong_);
  }
  engine::Timing Time(const engine::TimingOptions&) override { return {}; }
  std::vector<engine::LayerTime> Profile(const engine::TimingOptions&) override { return {}; }

 private:
  float offset_;
  std::vector<int> wrong_;
};

const data::Preprocessing kPlain{
    .resolution = 4, .channels = 1, .mean = {0, 0, 0}, .std = {1, 1, 1}};

Verification Compare(float offset, std::vector<int> wrong, int64_t limit = 0) {
  Scripted exported(offset, std::move(wrong));
  return Verify(
      [](std::span<const float> images, int count) { return Answer(images, count, 0, {}); },
      exported, std::make_shared<Stripes>(), kPlain, limit);
}

TEST(Verify, AgreementIsSilent) {
  const Verification same = Compare(0, {});
  EXPECT_EQ(same.images, 12);
  EXPECT_EQ(same.correct_trained, 12);
  EXPECT_EQ(same.correct_exported, 12);
  EXPECT_EQ(same.disagreements, 0);
  EXPECT_EQ(Complaint(same), "");
}

TEST(Verify, CountsDisagreementsAndDifferences) {
  const Verification wrong = Compare(0, {4, 7});
  EXPECT_EQ(wrong.disagreements, 2);
  EXPECT_EQ(wrong.correct_exported, 10);
  EXPECT_NE(Complaint(wrong, {.max_difference = 2}).find("2 of 12"), std::string::npos);
  const Verification shifted = Compare(0.5f, {});
  EXPECT_NEAR(shifted.max_difference, 0.5, 1e-6);
  EXPECT_NE(Complaint(shifted).find("5.00e-01"), std::string::npos);
}

TEST(Verify, NanIsNeverAgreement) {
  EXPECT_NE(Complaint(Compare(std::numeric_limits<float>::quiet_NaN(), {})), "");
}

TEST(Verify, LimitIsExact) { EXPECT_EQ(Compare(0, {}, 5).images, 5); }

TEST(WilsonInterval, KnownValues) {
  // statsmodels.stats.proportion.proportion_confint(9150, 10000, method="wilson")
  const auto [low, high] = WilsonInterval(0.915, 10000);
  EXPECT_NEAR(low, 0.9093732, 1e-6);
  EXPECT_NEAR(high, 0.9203085, 1e-6);
  EXPECT_NEAR(WilsonInterval(1.0, 10).second, 1.0, 1e-12);
}

TEST(WritePackage, AppearsWholeAndReadsBack) {
  const fs::path folder = fs::path(testing::TempDir()) / "package_test" / "01";
  fs::remove_all(folder.parent_path());
  Package package;
  package.network = net::ZooNetwork("mobilenet_v2@32x0.25", {.channels = 1, .classes = 3});
  package.weights = net::RandomWeights(net::Lower(package.network), 1);
  package.class_names = Stripes().class_names();
  package.origin = "trial 7";
  package.command = "lathe search x.toml";
  package.verification = Compare(0, {});
  package.latency_budget_us = 250;
  package.measured = {.median_us = 231.4, .p10_us = 230, .p90_us = 240, .runs = 10};
  for (int round = 0; round < 2; ++round) {  // the second replaces the first
    WritePackage(folder, package, "onnx bytes");
    EXPECT_EQ(ReadFile(folder / "model.onnx"), "onnx bytes");
    EXPECT_EQ(net::ReadNetwork(folder / "network.json"), package.network);
    const net::Weights weights = net::ReadSafetensors(folder / "weights.safetensors");
    net::CheckWeights(net::Lower(package.network), weights);
    EXPECT_TRUE(weights.metadata.contains("preprocessing"));
  }
  const std::string card = ReadFile(folder / "card.md");
  for (const char* part : {"trial 7", "0.231", "0.250", "100.00 %", "lathe search x.toml"}) {
    EXPECT_NE(card.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(card.find("<script>"), std::string::npos);
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
  EXPECT_THROW(WritePackage(folder, package, "onnx"), Error);
  EXPECT_FALSE(fs::exists(folder));
}

}  // namespace
}  // namespace lathe::deploy
