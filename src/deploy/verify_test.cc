#include "deploy/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "deploy/stripes_testing.h"

namespace lathe::deploy {
namespace {

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

std::vector<float> Repeat(const std::vector<float>& logits, int count) {
  std::vector<float> all;
  for (int i = 0; i < count; ++i) all.insert(all.end(), logits.begin(), logits.end());
  return all;
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

Verification Compare(float offset, std::vector<int> wrong, int64_t limit = 0) {
  Scripted exported(offset, std::move(wrong));
  return Verify(
             [](std::span<const float> images, int count) { return Answer(images, count, 0, {}); },
             {{&exported}}, std::make_shared<Stripes>(), kPlain, limit)
      .front();
}

const Tolerance kFloat = ToleranceOf(engine::Precision::kF32);

TEST(Verify, AgreementIsSilent) {
  const Verification same = Compare(0, {});
  EXPECT_EQ(same.images, 12);
  EXPECT_EQ(same.correct_trained, 12);
  EXPECT_EQ(same.correct_exported, 12);
  EXPECT_EQ(same.disagreements, 0);
  EXPECT_EQ(Complaint(same, kFloat), "");
}

TEST(Verify, CountsDisagreementsAndDifferences) {
  const Verification wrong = Compare(0, {1, 2, 4, 5, 7, 8});
  EXPECT_EQ(wrong.disagreements, 6);
  EXPECT_EQ(wrong.correct_exported, 6);
  EXPECT_NE(Complaint(wrong, {.max_drop = 0.1}).find("100.00 % to 50.00 %"), std::string::npos);
  EXPECT_EQ(Complaint(wrong, {.max_drop = 0.6}), "");
  const Verification shifted = Compare(0.5f, {});
  EXPECT_NEAR(shifted.max_difference, 0.5, 1e-6);
  EXPECT_NE(Complaint(shifted, kFloat).find("5.00e-01"), std::string::npos);
}

// A model that answers wildly to what no one can see may differ by that, and others may not.
TEST(Verify, IllConditionedModelsMayDifferMore) {
  Verification verification{.images = 12, .max_difference = 0.5, .max_relative = 0.005};
  EXPECT_NE(Complaint(verification, kFloat), "");
  verification.rounding = 1e-4;
  EXPECT_EQ(Complaint(verification, kFloat), "");
  verification.max_relative = 0.02;
  EXPECT_NE(Complaint(verification, kFloat).find("allowed are 1.00e-02"), std::string::npos);
}

TEST(Verify, MeasuresWhatTheLastBitsDo) {
  Scripted exported(0, {});
  const auto rounding = [&](float gain) {
    return Verify(
               [&](std::span<const float> images, int count) {
                 std::vector<float> logits(static_cast<size_t>(count) * 3);
                 for (size_t i = 0; i < logits.size(); ++i)
                   logits[i] = gain * (images[16 * (i / 3)] - 0.2f);
                 return logits;
               },
               {{&exported}}, std::make_shared<Stripes>(), kPlain)
        .front()
        .rounding;
  };
  EXPECT_LT(rounding(1), 1e-6);
  EXPECT_GT(rounding(1000), 1e-6);
}

// One image of twelve says nothing about half a point.
TEST(Verify, FewImagesAreNoEvidence) {
  EXPECT_EQ(Complaint(Compare(0, {4}), {.max_drop = 0.005}), "");
}

TEST(Verify, DifferencesAreRelativeToTheLogits) {
  const std::vector<float> large = {4000, -8000, 0};
  const auto with_error = [&](float error) {
    class Constant : public Scripted {
     public:
      explicit Constant(std::vector<float> logits) : Scripted(0, {}), logits_(std::move(logits)) {}
      std::vector<float> Run(std::span<const float>, int count) override {
        return Repeat(logits_, count);
      }

     private:
      std::vector<float> logits_;
    };
    Constant exported({4000 + error, -8000, 0});
    return Verify([&](std::span<const float>, int count) { return Repeat(large, count); },
                  {{&exported}}, std::make_shared<Stripes>(), kPlain)
        .front();
  };
  EXPECT_NEAR(with_error(4).max_difference, 4, 1e-3);
  EXPECT_NEAR(with_error(4).max_relative, 4.0 / 8000, 1e-6);
  EXPECT_EQ(Complaint(with_error(4), kFloat), "");
  EXPECT_NE(Complaint(with_error(40), kFloat), "");
}

TEST(Verify, PixelsAndProbabilitiesAreCompared) {
  // Knows an image by its pixel value, and answers with softmax of (0, 0, 1) and so on.
  class Pixels : public Scripted {
   public:
    Pixels() : Scripted(0, {}) {}
    std::vector<float> Run(std::span<const float> images, int count) override {
      std::vector<float> scaled(images.begin(), images.end());
      for (float& value : scaled) value /= 255;
      std::vector<float> shares = Answer(scaled, count, 0, {});
      for (float& share : shares) share = share > 0 ? 0.576117f : 0.211942f;
      return shares;
    }
  } exported;
  const Verification same =
      Verify([](std::span<const float> images, int count) { return Answer(images, count, 0, {}); },
             {{&exported, {.lengths = {}, .pixels = true, .softmax = true}}},
             std::make_shared<Stripes>(), kPlain)
          .front();
  EXPECT_EQ(same.disagreements, 0);
  EXPECT_LT(same.max_difference, 1e-6);
}

TEST(Verify, NanIsNeverAgreement) {
  const Verification broken = Compare(std::numeric_limits<float>::quiet_NaN(), {});
  EXPECT_NE(Complaint(broken, kFloat), "");
  EXPECT_NE(Complaint(broken, {}), "");
}

TEST(Verify, LimitIsExact) { EXPECT_EQ(Compare(0, {}, 5).images, 5); }

TEST(WilsonInterval, KnownValues) {
  // statsmodels.stats.proportion.proportion_confint(9150, 10000, method="wilson")
  const auto [low, high] = WilsonInterval(0.915, 10000);
  EXPECT_NEAR(low, 0.9093732, 1e-6);
  EXPECT_NEAR(high, 0.9203085, 1e-6);
  EXPECT_NEAR(WilsonInterval(1.0, 10).second, 1.0, 1e-12);
}

}  // namespace
}  // namespace lathe::deploy
