#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "latency/lut.h"
#include "net/zoo.h"

namespace lathe::latency {
namespace {

using net::Activation;
using net::Layer;
using net::Op;

Layer Irb() {
  Layer layer{.op = Op::kIrb, .in = {24, 14, 13}, .out_channels = 32, .kernel = 5, .stride = 2};
  layer.mid_channels = 96;
  layer.se_channels = 8;
  layer.act = Activation::kHardSwish;
  layer.se_gate = Activation::kHardSigmoid;
  return layer;
}

Layer RandomLayer(Random& random) {
  const auto below = [&random](int bound) { return static_cast<int>(random.Below(bound)); };
  const auto act = [&below] { return static_cast<Activation>(below(7)); };
  Layer layer{.op = static_cast<Op>(below(4)), .in = {1 + below(99), 1 + below(99), 1 + below(99)}};
  layer.out_channels = 1 + below(999);
  layer.kernel = 1 + 2 * below(4);
  layer.stride = 1 + below(2);
  layer.groups = 1 + below(3);
  layer.mid_channels = 1 + below(999);
  layer.expand = below(4) > 0;
  layer.se_channels = below(2) * (1 + below(30));
  layer.act = act();
  layer.se_act = act();
  layer.se_gate = act();
  layer.padding = static_cast<net::Padding>(below(3));
  layer.residual = below(2) == 0;
  layer.hidden_channels = below(2) * below(500);
  layer.hidden_bias = below(2) == 0;
  layer.hidden_act = act();
  layer.stage = below(9);
  return layer;
}

TEST(KeyOf, IsWhatThePlanSays) {
  EXPECT_EQ(KeyOf(Irb()), "irb_i24x14x13_o32_k5_s2_m96_hard-swish_se8:relu:hard-sigmoid");
  const Layer conv{.op = Op::kConv, .in = {3, 28, 28}, .out_channels = 16};
  EXPECT_EQ(KeyOf(conv), "conv_i3x28x28_o16_k3_s1_relu");
}

TEST(KeyOf, LeavesOutWhatCostsNothing) {
  Layer layer = Irb();
  layer.stage = 7;
  layer.bn_eps = 1;
  layer.hidden_channels = 12;  // only a tail has it
  EXPECT_EQ(KeyOf(layer), KeyOf(Irb()));
  layer.se_channels = 0;
  Layer other = layer;
  other.se_gate = Activation::kSwish;
  EXPECT_EQ(KeyOf(layer), KeyOf(other));
}

TEST(KeyOf, DiffersWhereverTheWorkDiffers) {
  const std::vector<std::function<void(Layer&)>> changes = {
      [](Layer&) {},
      [](Layer& l) { l.op = Op::kFusedIrb; },
      [](Layer& l) { l.in.c = 25; },
      [](Layer& l) { l.in.h = 15; },
      [](Layer& l) { l.in.w = 15; },
      [](Layer& l) { l.out_channels = 24; },
      [](Layer& l) { l.kernel = 3; },
      [](Layer& l) { l.stride = 1; },
      [](Layer& l) { l.groups = 8; },
      [](Layer& l) { l.mid_channels = 48; },
      [](Layer& l) { l.expand = false; },
      [](Layer& l) { l.se_channels = 0; },
      [](Layer& l) { l.act = Activation::kSwish; },
      [](Layer& l) { l.se_act = Activation::kSwish; },
      [](Layer& l) { l.se_gate = Activation::kSigmoid; },
      [](Layer& l) { l.padding = net::Padding::kSame; },
      [](Layer& l) { l.padding = net::Padding::kValid; },
      [](Layer& l) { l.residual = true; },
      [](Layer& l) { l.op = Op::kTail; },
      [](Layer& l) { l.op = Op::kTail, l.hidden_channels = 64; },
      [](Layer& l) { l.op = Op::kTail, l.hidden_channels = 64, l.hidden_bias = false; },
      [](Layer& l) { l.op = Op::kTail, l.hidden_channels = 64, l.hidden_act = Activation::kSwish; },
  };
  std::set<LayerKey> keys;
  for (const auto& change : changes) {
    Layer layer = Irb();
    change(layer);
    keys.insert(KeyOf(layer));
  }
  EXPECT_EQ(keys.size(), changes.size());
}

TEST(LayerOf, RoundTripsRandomLayers) {
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    const Layer layer = RandomLayer(random);
    const LayerKey key = KeyOf(layer);
    ASSERT_EQ(KeyOf(LayerOf(key)), key);
  }
}

TEST(LayerOf, GivesTheSameWorkForEveryLayerOfTheZoo) {
  for (const net::ZooEntry& entry : net::Zoo()) {
    for (const Layer& layer : net::ZooNetwork(entry.name).layers) {
      const Layer found = LayerOf(KeyOf(layer));
      EXPECT_EQ(net::Count(found).macs, net::Count(layer).macs) << KeyOf(layer);
      EXPECT_EQ(net::Count(found).params, net::Count(layer).params) << KeyOf(layer);
      EXPECT_EQ(found.out(), layer.out()) << KeyOf(layer);
    }
  }
}

TEST(LayerOf, NamesTheKeyAndWhatIsWrong) {
  const auto message = [](const LayerKey& key) -> std::string {
    try {
      LayerOf(key);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message("pool_i3x4x4_o8"), testing::HasSubstr("unknown operation 'pool'"));
  EXPECT_THAT(message("conv_i3x28x28_o16_k3_s1_gelu"), testing::HasSubstr("unknown part 'gelu'"));
  EXPECT_THAT(message("conv_i3x28_o16_k3_s1_relu"), testing::HasSubstr("unknown part 'i3x28'"));
  EXPECT_THAT(message("conv_i3x28x28_k3_o16_s1_relu"),
              testing::HasSubstr("'conv_i3x28x28_o16_k3_s1_relu'"));
  EXPECT_THAT(message("conv_i3x28x28_o16_k3_s1_relu_res_res"), testing::HasSubstr("canonical"));
  EXPECT_THAT(message("conv_i3x28x28_o16_k0_s1_relu"), testing::HasSubstr("below 1"));
  EXPECT_THAT(message("conv_i3x28x28_o99999999999_k3_s1_relu"), testing::HasSubstr("unknown part"));
  EXPECT_THAT(message(""), testing::HasSubstr("unknown operation ''"));
}

}  // namespace
}  // namespace lathe::latency
