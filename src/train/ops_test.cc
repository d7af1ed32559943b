// The fused operations against torch's own, forwards and backwards.
#include "train/ops.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <limits>

#include "train/torch_guard.h"

namespace lathe::train {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;
constexpr net::Activation kActivations[] = {net::Activation::kNone,       net::Activation::kRelu,
                                            net::Activation::kRelu6,      net::Activation::kSwish,
                                            net::Activation::kHardSwish,  net::Activation::kSigmoid,
                                            net::Activation::kHardSigmoid};

// Relative to the size of the values.
double Distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return ((x - y).norm() / (y.norm() + 1e-12)).item<double>();
}

at::Tensor Leaf(const at::Tensor& values) { return values.clone().requires_grad_(true); }

struct Case {
  at::ScalarType type;
  double tolerance;
};

// Double precision stands in for exact results.
class OpsTest : public testing::TestWithParam<Case> {
 protected:
  OpsTest() { SetTorchThreads(2); }  // also covers the split between threads
  static at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
    auto generator = at::detail::createCPUGenerator(seed);
    return at::randn(shape, generator, at::kDouble);
  }
  // Values that the type under test represents exactly.
  at::Tensor Image(at::IntArrayRef shape, uint64_t seed) const {
    return Random(shape, seed).to(GetParam().type).contiguous(kChannelsLast);
  }
};

TEST_P(OpsTest, NormActivateEqualsBatchNormThenActivation) {
  for (const net::Activation act : kActivations) {
    for (const int64_t channels : {5, 8, 40, 75}) {
      const at::Tensor image = Image({5, channels, 9, 7}, 1) * 2 + 3;
      const at::Tensor upstream = Image({5, channels, 9, 7}, 2);
      net::Node node;
      node.act = act;
      const auto run = [&](at::ScalarType type, bool ours) {
        const at::Tensor x = Leaf(image.to(type));
        const auto parameters = type == at::kDouble ? at::kDouble : at::kFloat;
        NormTensors norm{
            Leaf(Random({channels}, 3).to(parameters)), Leaf(Random({channels}, 4).to(parameters)),
            at::full({channels}, 2.5, parameters), at::full({channels}, 2.0, parameters)};
        at::Tensor y;
        if (ours) {
          y = NormActivate(x, norm, node, {.training = true});
        } else {
          y = Activate(act, at::batch_norm(x, norm.gamma, norm.beta, norm.mean, norm.var, true, 0.1,
                                           static_cast<double>(node.bn_eps), false));
        }
        y.backward(upstream.to(type));
        return std::vector<at::Tensor>{y,         x.grad(), norm.gamma.grad(), norm.beta.grad(),
                                       norm.mean, norm.var};
      };
      const auto exact = run(at::kDouble, false), fused = run(GetParam().type, true);
      for (size_t i = 0; i < exact.size(); ++i) {
        EXPECT_LT(Distance(fused[i], exact[i]), GetParam().tolerance)
            << net::Name(act) << " of " << channels << " channels, result " << i;
      }
    }
  }
}

TEST_P(OpsTest, NormActivateForEvaluation) {
  const at::NoGradGuard no_grad;
  const at::Tensor image = Image({2, 16, 3, 3}, 1);
  net::Node node;
  node.act = net::Activation::kSwish;
  const NormTensors norm{Random({16}, 2).to(at::kFloat), Random({16}, 3).to(at::kFloat),
                         Random({16}, 4).to(at::kFloat), Random({16}, 5).square().to(at::kFloat)};
  const at::Tensor exact =
      at::silu(at::batch_norm(image.to(at::kFloat), norm.gamma, norm.beta, norm.mean, norm.var,
                              false, 0.1, static_cast<double>(node.bn_eps), false));
  EXPECT_LT(Distance(NormActivate(image.clone(), norm, node, {}), exact), GetParam().tolerance);
}

// Or a network of broken weights would pass for one that learned nothing.
TEST_P(OpsTest, NotANumberGoesOnToTheEnd) {
  const at::NoGradGuard no_grad;
  for (const net::Activation act : kActivations) {
    for (const int64_t channels : {5, 8, 40, 75}) {
      const auto ones = [&] { return at::ones({channels}, at::kFloat); };
      at::Tensor broken = ones();
      broken[channels - 1] = std::numeric_limits<float>::quiet_NaN();
      net::Node node;
      node.act = act;
      for (const bool training : {false, true}) {
        const NormTensors norm{broken.clone(), ones(), ones(), ones()};
        const at::Tensor y =
            NormActivate(Image({2, channels, 3, 3}, 1), norm, node, {.training = training});
        EXPECT_EQ(y.isnan().sum({0, 2, 3}).count_nonzero().item<int64_t>(), 1) << net::Name(act);
        EXPECT_TRUE(y.select(1, channels - 1).isnan().all().item<bool>()) << net::Name(act);
      }
    }
  }
}

TEST_P(OpsTest, DepthwiseEqualsConvolution) {
  for (const int kernel : {3, 5}) {
    for (const int stride : {1, 2}) {
      for (const int pad : {0, 1, kernel / 2}) {
        net::Node node;
        node.kernel = kernel;
        node.stride = stride;
        node.pad_begin = node.pad_end = pad;
        node.in = {43, 9, 6};
        node.groups = 43;
        node.out = {43, (9 + 2 * pad - kernel) / stride + 1, (6 + 2 * pad - kernel) / stride + 1};
        const at::Tensor image = Image({3, 43, 9, 6}, 1),
                         upstream = Image({3, 43, node.out.h, node.out.w}, 2);
        const auto run = [&](at::ScalarType type, bool ours) {
          const at::Tensor x = Leaf(image.to(type));
          const at::Tensor weight =
              Leaf(Random({43, 1, kernel, kernel}, 3).to(ours ? at::kFloat : type));
          const at::Tensor y = ours ? DepthwiseConvolve(x, weight, node)
                                    : at::conv2d(x, weight, {}, stride, pad, 1, 43);
          y.backward(upstream.to(type));
          return std::vector<at::Tensor>{y, x.grad(), weight.grad()};
        };
        const auto exact = run(at::kDouble, false), fused = run(GetParam().type, true);
        for (size_t i = 0; i < exact.size(); ++i) {
          EXPECT_LT(Distance(fused[i], exact[i]), GetParam().tolerance)
              << "kernel " << kernel << " stride " << stride << " pad " << pad << " result " << i;
        }
      }
    }
  }
}

TEST_P(OpsTest, AverageAndScaleEqualTorch) {
  const at::Tensor image = Image({3, 43, 5, 4}, 1), gates = Image({3, 43, 1, 1}, 2),
                   upstream = Image({3, 43, 5, 4}, 3);
  const auto run = [&](at::ScalarType type, bool ours) {
    const at::Tensor x = Leaf(image.to(type)), gate = Leaf(gates.to(type));
    const at::Tensor mean = ours ? GlobalAverage(x) : x.mean({2, 3}, true);
    const at::Tensor y = ours ? ScaleChannels(x, gate) : x * gate;
    (y * upstream.to(type)).sum().backward({}, true);
    mean.backward(gates.to(type));
    return std::vector<at::Tensor>{mean, y, x.grad(), gate.grad()};
  };
  const auto exact = run(at::kDouble, false), fused = run(GetParam().type, true);
  for (size_t i = 0; i < exact.size(); ++i) {
    EXPECT_LT(Distance(fused[i], exact[i]), GetParam().tolerance) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, OpsTest,
                         testing::Values(Case{at::kFloat, 2e-6}, Case{at::kBFloat16, 6e-3}),
                         [](const auto& test) {
                           return test.param.type == at::kFloat ? "Float" : "BFloat16";
                         });

}  // namespace
}  // namespace lathe::train
