// The kernels of each kind of processor against those that run on all, on shapes with and without a
// rest; train/ops_test.cc compares what this processor uses with torch.
#include "train/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "train/kernels_isa.h"

namespace lathe::train::kernels {
namespace {

#ifdef LATHE_X86

#define LATHE_KIND(Kind, isa, feature)                                                     \
  struct Kind {                                                                            \
    static bool IsHere() { return __builtin_cpu_supports(feature); }                       \
    static void AddMoments(auto... a) { isa::AddMoments(a...); }                           \
    static void Normalize(auto... a) { isa::Normalize(a...); }                             \
    static void ActivationGradient(auto... a) { isa::ActivationGradient(a...); }           \
    static void Combine(auto... a) { isa::Combine(a...); }                                 \
    static void Average(auto... a) { isa::Average(a...); }                                 \
    static void Scale(auto... a) { isa::Scale(a...); }                                     \
    static void ScaleBackward(auto... a) { isa::ScaleBackward(a...); }                     \
    static void DepthwiseForward(auto... a) { isa::DepthwiseForward(a...); }               \
    static void DepthwiseBackwardData(auto... a) { isa::DepthwiseBackwardData(a...); }     \
    static void DepthwiseBackwardWeight(auto... a) { isa::DepthwiseBackwardWeight(a...); } \
  }
LATHE_KIND(Avx2, avx2, "avx2");
LATHE_KIND(Avx512, avx512, "avx512bw");
#undef LATHE_KIND

template <typename Kind>
class KernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Kind::IsHere()) GTEST_SKIP() << "SKIPPED: not on this processor";
  }
  std::vector<float> Values(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(8 * random_.Uniform() - 4);
    return values;
  }
  std::vector<BFloat16> Halves(const std::vector<float>& values) {
    std::vector<BFloat16> halves(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      uint32_t bits = 0;
      std::memcpy(&bits, &values[i], sizeof(bits));
      halves[i].bits = static_cast<uint16_t>(bits >> 16);
    }
    return halves;
  }

  Random random_{11};
};
using Kinds = testing::Types<Avx2, Avx512>;
TYPED_TEST_SUITE(KernelsTest, Kinds);

constexpr int64_t kChannels[] = {3, 8, 16, 24, 27, 64, 72, 143};

void ExpectClose(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a[i], b[i], 1e-4f * std::max(1.0f, std::abs(b[i]))) << i;
}
void ExpectClose(const std::vector<double>& a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a[i], b[i], 1e-4 * std::max(1.0, std::abs(b[i]))) << i;
}
void ExpectClose(const std::vector<BFloat16>& a, const std::vector<BFloat16>& b) {
  const auto value = [](BFloat16 half) {
    const uint32_t bits = uint32_t{half.bits} << 16;
    float whole = 0;
    std::memcpy(&whole, &bits, sizeof(whole));
    return whole;
  };
  for (size_t i = 0; i < a.size(); ++i)  // one unit in the last place
    ASSERT_NEAR(value(a[i]), value(b[i]), std::abs(value(b[i])) / 128 + 1e-4f) << i;
}

TYPED_TEST(KernelsTest, NormsAndActivations) {
  for (const int64_t channel_count : kChannels) {
    SCOPED_TRACE(channel_count);
    constexpr int64_t kRows = 37;
    const std::vector<float> x = this->Values(kRows * channel_count),
                             dy = this->Values(kRows * channel_count);
    const std::vector<float> scale = this->Values(channel_count),
                             offset = this->Values(channel_count);
    const auto channels = static_cast<size_t>(channel_count);
    for (const auto act : {net::Activation::kNone, net::Activation::kRelu, net::Activation::kRelu6,
                           net::Activation::kSwish, net::Activation::kHardSwish,
                           net::Activation::kSigmoid, net::Activation::kHardSigmoid}) {
      const Affine affine{scale.data(), offset.data(), act};
      const auto check = [&]<typename T>(const std::vector<T>& in, const std::vector<T>& gradient) {
        std::vector<T> y(in.size()), own_y(in.size());
        plain::Normalize(in.data(), kRows, channel_count, affine, y.data());
        TypeParam::Normalize(in.data(), kRows, channel_count, affine, own_y.data());
        ExpectClose(own_y, y);
        std::vector<double> sum(channels), product(channels), own_sum(channels),
            own_product(channels);
        plain::ActivationGradient(in.data(), gradient.data(), kRows, channel_count, affine,
                                  offset.data(), y.data(), sum.data(), product.data());
        TypeParam::ActivationGradient(in.data(), gradient.data(), kRows, channel_count, affine,
                                      offset.data(), own_y.data(), own_sum.data(),
                                      own_product.data());
        ExpectClose(own_y, y);
        ExpectClose(own_sum, sum);
        ExpectClose(own_product, product);
        const Combination combination{scale.data(), offset.data(), scale.data()};
        plain::Combine(in.data(), kRows, channel_count, combination, y.data());
        TypeParam::Combine(in.data(), kRows, channel_count, combination, own_y.data());
        ExpectClose(own_y, y);
        plain::AddMoments(in.data(), kRows, channel_count, offset.data(), sum.data(),
                          product.data());
        TypeParam::AddMoments(in.data(), kRows, channel_count, offset.data(), own_sum.data(),
                              own_product.data());
        ExpectClose(own_sum, sum);
        ExpectClose(own_product, product);
      };
      check(x, dy);
      check(this->Halves(x), this->Halves(dy));
    }
  }
}

TYPED_TEST(KernelsTest, Gates) {
  for (const int64_t channel_count : kChannels) {
    SCOPED_TRACE(channel_count);
    constexpr int64_t kPixels = 21;
    const std::vector<float> x = this->Values(kPixels * channel_count),
                             dy = this->Values(kPixels * channel_count),
                             gate = this->Values(channel_count);
    const auto check = [&]<typename T>(const std::vector<T>& in, const std::vector<T>& gradient,
                                       const std::vector<T>& factor) {
      std::vector<T> y(in.size()), own_y(in.size()), mean(factor.size()), own_mean(factor.size());
      plain::Average(in.data(), kPixels, channel_count, mean.data());
      TypeParam::Average(in.data(), kPixels, channel_count, own_mean.data());
      ExpectClose(own_mean, mean);
      plain::Scale(in.data(), factor.data(), kPixels, channel_count, y.data());
      TypeParam::Scale(in.data(), factor.data(), kPixels, channel_count, own_y.data());
      ExpectClose(own_y, y);
      plain::ScaleBackward(in.data(), factor.data(), gradient.data(), kPixels, channel_count,
                           y.data(), mean.data());
      TypeParam::ScaleBackward(in.data(), factor.data(), gradient.data(), kPixels, channel_count,
                               own_y.data(), own_mean.data());
      ExpectClose(own_y, y);
      ExpectClose(own_mean, mean);
    };
    check(x, dy, gate);
    check(this->Halves(x), this->Halves(dy), this->Halves(gate));
  }
}

TYPED_TEST(KernelsTest, DepthwiseConvolutions) {
  for (const int64_t channel_count : kChannels) {
    SCOPED_TRACE(channel_count);
    for (const int kernel : {3, 5}) {
      for (const int stride : {1, 2}) {
        const int64_t out = stride == 1 ? 7 : 4;
        const Depthwise shape{.channels = channel_count,
                              .h = 7,
                              .w = 7,
                              .out_h = out,
                              .out_w = out,
                              .kernel = kernel,
                              .stride = stride,
                              .pad = kernel / 2};
        const std::vector<float> x = this->Values(49 * channel_count),
                                 dy = this->Values(out * out * channel_count),
                                 weight = this->Values(kernel * kernel * channel_count);
        const auto check = [&]<typename T>(const std::vector<T>& in,
                                           const std::vector<T>& gradient) {
          std::vector<T> y(gradient.size()), own_y(gradient.size()), dx(in.size()),
              own_dx(in.size());
          plain::DepthwiseForward(shape, in.data(), weight.data(), y.data());
          TypeParam::DepthwiseForward(shape, in.data(), weight.data(), own_y.data());
          ExpectClose(own_y, y);
          plain::DepthwiseBackwardData(shape, gradient.data(), weight.data(), dx.data());
          TypeParam::DepthwiseBackwardData(shape, gradient.data(), weight.data(), own_dx.data());
          ExpectClose(own_dx, dx);
          std::vector<float> dw(weight.size(), 1.0f), own_dw(weight.size(), 1.0f);
          plain::DepthwiseBackwardWeight(shape, in.data(), gradient.data(), dw.data());
          TypeParam::DepthwiseBackwardWeight(shape, in.data(), gradient.data(), own_dw.data());
          ExpectClose(own_dw, dw);
        };
        check(x, dy);
        check(this->Halves(x), this->Halves(dy));
      }
    }
  }
}

#endif

}  // namespace
}  // namespace lathe::train::kernels
