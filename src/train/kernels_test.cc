// The kernels for wide vectors against those for narrow ones, on shapes with and without a rest;
// train/ops_test.cc compares what this processor uses with torch.
#include "train/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "train/kernels_isa.h"

namespace lathe::train::kernels {
namespace {

#ifdef LATHE_KERNELS

class KernelsTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw"))
      GTEST_SKIP() << "SKIPPED: this processor has no AVX-512";
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

  const int64_t channels_ = GetParam();
  Random random_{11};
};

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
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_LE(std::abs(a[i].bits - b[i].bits), 1) << i;  // one unit in the last place
}

TEST_P(KernelsTest, NormsAndActivations) {
  constexpr int64_t kRows = 37;
  const std::vector<float> x = Values(kRows * channels_), dy = Values(kRows * channels_);
  const std::vector<float> scale = Values(channels_), offset = Values(channels_);
  const auto channels = static_cast<size_t>(channels_);
  for (const auto act : {net::Activation::kNone, net::Activation::kRelu, net::Activation::kRelu6,
                         net::Activation::kSwish, net::Activation::kHardSwish,
                         net::Activation::kSigmoid, net::Activation::kHardSigmoid}) {
    const Affine affine{scale.data(), offset.data(), act};
    const auto check = [&]<typename T>(const std::vector<T>& in, const std::vector<T>& gradient) {
      std::vector<T> y(in.size()), wide_y(in.size());
      avx2::Normalize(in.data(), kRows, channels_, affine, y.data());
      avx512::Normalize(in.data(), kRows, channels_, affine, wide_y.data());
      ExpectClose(wide_y, y);
      std::vector<double> sum(channels), product(channels), wide_sum(channels),
          wide_product(channels);
      avx2::ActivationGradient(in.data(), gradient.data(), kRows, channels_, affine, offset.data(),
                               y.data(), sum.data(), product.data());
      avx512::ActivationGradient(in.data(), gradient.data(), kRows, channels_, affine,
                                 offset.data(), wide_y.data(), wide_sum.data(),
                                 wide_product.data());
      ExpectClose(wide_y, y);
      ExpectClose(wide_sum, sum);
      ExpectClose(wide_product, product);
      const Combination combination{scale.data(), offset.data(), scale.data()};
      avx2::Combine(in.data(), kRows, channels_, combination, y.data());
      avx512::Combine(in.data(), kRows, channels_, combination, wide_y.data());
      ExpectClose(wide_y, y);
      avx2::AddMoments(in.data(), kRows, channels_, offset.data(), sum.data(), product.data());
      avx512::AddMoments(in.data(), kRows, channels_, offset.data(), wide_sum.data(),
                         wide_product.data());
      ExpectClose(wide_sum, sum);
      ExpectClose(wide_product, product);
    };
    check(x, dy);
    check(Halves(x), Halves(dy));
  }
}

TEST_P(KernelsTest, Gates) {
  constexpr int64_t kPixels = 21;
  const std::vector<float> x = Values(kPixels * channels_), dy = Values(kPixels * channels_),
                           gate = Values(channels_);
  const auto check = [&]<typename T>(const std::vector<T>& in, const std::vector<T>& gradient,
                                     const std::vector<T>& factor) {
    std::vector<T> y(in.size()), wide_y(in.size()), mean(factor.size()), wide_mean(factor.size());
    avx2::Average(in.data(), kPixels, channels_, mean.data());
    avx512::Average(in.data(), kPixels, channels_, wide_mean.data());
    ExpectClose(wide_mean, mean);
    avx2::Scale(in.data(), factor.data(), kPixels, channels_, y.data());
    avx512::Scale(in.data(), factor.data(), kPixels, channels_, wide_y.data());
    ExpectClose(wide_y, y);
    avx2::ScaleBackward(in.data(), factor.data(), gradient.data(), kPixels, channels_, y.data(),
                        mean.data());
    avx512::ScaleBackward(in.data(), factor.data(), gradient.data(), kPixels, channels_,
                          wide_y.data(), wide_mean.data());
    ExpectClose(wide_y, y);
    ExpectClose(wide_mean, mean);
  };
  check(x, dy, gate);
  check(Halves(x), Halves(dy), Halves(gate));
}

TEST_P(KernelsTest, DepthwiseConvolutions) {
  for (const int kernel : {3, 5}) {
    for (const int stride : {1, 2}) {
      const int64_t out = stride == 1 ? 7 : 4;
      const Depthwise shape{.channels = channels_,
                            .h = 7,
                            .w = 7,
                            .out_h = out,
                            .out_w = out,
                            .kernel = kernel,
                            .stride = stride,
                            .pad = kernel / 2};
      const std::vector<float> x = Values(49 * channels_), dy = Values(out * out * channels_),
                               weight = Values(kernel * kernel * channels_);
      const auto check = [&]<typename T>(const std::vector<T>& in, const std::vector<T>& gradient) {
        std::vector<T> y(gradient.size()), wide_y(gradient.size()), dx(in.size()),
            wide_dx(in.size());
        avx2::DepthwiseForward(shape, in.data(), weight.data(), y.data());
        avx512::DepthwiseForward(shape, in.data(), weight.data(), wide_y.data());
        ExpectClose(wide_y, y);
        avx2::DepthwiseBackwardData(shape, gradient.data(), weight.data(), dx.data());
        avx512::DepthwiseBackwardData(shape, gradient.data(), weight.data(), wide_dx.data());
        ExpectClose(wide_dx, dx);
        std::vector<float> dw(weight.size(), 1.0f), wide_dw(weight.size(), 1.0f);
        avx2::DepthwiseBackwardWeight(shape, in.data(), gradient.data(), dw.data());
        avx512::DepthwiseBackwardWeight(shape, in.data(), gradient.data(), wide_dw.data());
        ExpectClose(wide_dw, dw);
      };
      check(x, dy);
      check(Halves(x), Halves(dy));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Channels, KernelsTest, testing::Values(8, 16, 24, 64, 72, 144));

#endif

}  // namespace
}  // namespace lathe::train::kernels
