#include "net/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/temp_folder_testing.h"

namespace lathe::net {
namespace {

using ::testing::HasSubstr;

// Three layers that use every feature: 3x32x32 -> conv s2 -> fused with SE -> irb -> tail.
Network SmallNetwork() {
  Network network{.name = "small", .input = {3, 32, 32}, .layers = {}};
  Layer conv{.op = Op::kConv, .in = {3, 32, 32}, .out_channels = 16, .stride = 2};
  Layer fused{.op = Op::kFusedIrb,
              .in = conv.out(),
              .out_channels = 24,
              .stride = 2,
              .mid_channels = 64,
              .se_channels = 4};
  Layer irb{.op = Op::kIrb,
            .in = fused.out(),
            .out_channels = 24,
            .kernel = 5,
            .mid_channels = 96,
            .residual = true};
  Layer tail{.op = Op::kTail,
             .in = irb.out(),
             .out_channels = 10,
             .mid_channels = 128,
             .hidden_channels = 32};
  network.layers = {conv, fused, irb, tail};
  return network;
}

TEST(RoundChannelsTest, FollowsMakeDivisible) {
  EXPECT_EQ(RoundChannels(3), 8);
  EXPECT_EQ(RoundChannels(16 * 0.5), 8);
  EXPECT_EQ(RoundChannels(11.9), 16);        // 8 would lose more than 10 %
  EXPECT_EQ(RoundChannels(96 * 7.67), 736);  // GPUNet-P0
  EXPECT_EQ(RoundChannels(18, 16), 32);
  for (int value = 1; value < 3000; ++value) {
    EXPECT_EQ(RoundChannels(value) % 8, 0);
    EXPECT_GE(RoundChannels(value), 0.9 * value);
  }
}

TEST(LayerTest, OutputSizes) {
  Layer layer{.op = Op::kConv, .in = {3, 15, 16}, .out_channels = 8, .kernel = 5, .stride = 2};
  EXPECT_EQ(layer.out(), (Shape{8, 8, 8}));
  layer.padding = Padding::kSame;
  EXPECT_EQ(layer.out(), (Shape{8, 8, 8}));
  layer.padding = Padding::kValid;
  EXPECT_EQ(layer.out(), (Shape{8, 6, 6}));
  layer.in = {3, 4, 5};
  EXPECT_EQ(layer.out(), (Shape{8, 0, 1}));
  layer.op = Op::kTail;
  EXPECT_EQ(layer.out(), (Shape{8, 1, 1}));
}

TEST(CountTest, SumsByHand) {
  const Network network = SmallNetwork();
  // conv: 3 * 16 * 9 weights on 16x16 pixels.
  EXPECT_EQ(Count(network.layers[0]).params, 432 + 32);
  EXPECT_EQ(Count(network.layers[0]).macs, 432 * 256);
  // fused: 16 * 64 * 9 and 64 * 24 on 8x8 pixels, SE 64 -> 4 -> 64 with biases on one.
  EXPECT_EQ(Count(network.layers[1]).params, 9216 + 128 + 256 + 4 + 256 + 64 + 1536 + 48);
  EXPECT_EQ(Count(network.layers[1]).macs, (9216 + 1536) * 64 + 512);
  EXPECT_EQ(Count(network.layers[2]).params, 24 * 96 * 2 + 96 * 25 + 2 * (96 + 96 + 24));
  EXPECT_EQ(Count(network.layers[3]).params, 24 * 128 + 256 + 128 * 32 + 32 + 320 + 10);
  const Costs total = Count(network);
  EXPECT_EQ(total.params, 464 + 11508 + 7440 + 7786);
}

TEST(WithInputTest, RechainsShapes) {
  const Network wide = WithInput(SmallNetwork(), {1, 28, 28});
  EXPECT_EQ(wide.input, (Shape{1, 28, 28}));
  EXPECT_EQ(wide.layers[0].in, (Shape{1, 28, 28}));
  EXPECT_EQ(wide.layers[1].in, (Shape{16, 14, 14}));
  EXPECT_EQ(wide.layers.back().in, (Shape{24, 7, 7}));
  EXPECT_EQ(WithInput(wide, {3, 32, 32}), SmallNetwork());
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { WithInput(wide, {1, 0, 28}); }),
              HasSubstr("is empty"));

  Network valid = SmallNetwork();
  valid.layers[1].padding = Padding::kValid;
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { WithInput(valid, {3, 4, 4}); }),
              HasSubstr("layer 1 (fused_irb) would get 2x2"));
}

TEST(WithClassesTest, ChangesTheTail) {
  EXPECT_EQ(WithClasses(SmallNetwork(), 7).num_classes(), 7);
  EXPECT_EQ(WithClasses(WithClasses(SmallNetwork(), 7), 10), SmallNetwork());
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [] { WithClasses(SmallNetwork(), 0); }),
              HasSubstr("out_channels is 0"));
}

struct Mistake {
  const char* message;
  std::function<void(Network&)> make;
};

TEST(ValidateTest, NamesLayerAndReason) {
  EXPECT_NO_THROW(Validate(SmallNetwork()));
  const Mistake mistakes[] = {
      {"input is 3x0x32", [](Network& n) { n.input.h = 0; }},
      {"has 0 layers", [](Network& n) { n.layers.clear(); }},
      {"layer 0 (conv): in is 3x32x32", [](Network& n) { n.input.w = 33; }},
      {"layer 2 (irb): in is 24x8x8", [](Network& n) { n.layers[1].out_channels = 32; }},
      {"last layer must be a tail", [](Network& n) { n.layers.pop_back(); }},
      {"a tail must be the last", [](Network& n) { n.layers.push_back(n.layers.back()); }},
      {"only odd", [](Network& n) { n.layers[0].kernel = 4; }},
      {"kernel is 0", [](Network& n) { n.layers[0].kernel = 0; }},
      {"stride is 0", [](Network& n) { n.layers[1].stride = 0; }},
      {"stride is -2147483648", [](Network& n) { n.layers[1].stride = INT32_MIN; }},
      {"groups is 0", [](Network& n) { n.layers[2].groups = 0; }},
      {"not a multiple of groups (7)", [](Network& n) { n.layers[2].groups = 7; }},
      {"mid_channels is 0", [](Network& n) { n.layers[2].mid_channels = 0; }},
      {"mid_channels has no meaning", [](Network& n) { n.layers[0].mid_channels = 8; }},
      {"se_channels has no meaning", [](Network& n) { n.layers[0].se_channels = 8; }},
      {"se_channels is -1", [](Network& n) { n.layers[1].se_channels = -1; }},
      {"must equal the input's", [](Network& n) { n.layers[2].expand = false; }},
      {"irb only", [](Network& n) { n.layers[1].expand = false; }},
      {"residual needs", [](Network& n) { n.layers[1].residual = true; }},
      {"residual needs", [](Network& n) { n.layers[2].padding = Padding::kValid; }},
      {"tail only", [](Network& n) { n.layers[2].hidden_channels = 8; }},
      {"bn_eps", [](Network& n) { n.layers[2].bn_eps = 0; }},
      {"bn_eps", [](Network& n) { n.layers[2].bn_eps = std::numeric_limits<float>::quiet_NaN(); }},
      {"weights, more than",
       [](Network& n) { n.layers[3].mid_channels = n.layers[3].hidden_channels = 65536; }},
  };
  for (const Mistake& mistake : mistakes) {
    Network network = SmallNetwork();
    mistake.make(network);
    EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { Validate(network); }),
                HasSubstr(mistake.message));
  }
}

TEST(ValidateTest, SameNeedsEqualPaddings) {
  Network network = SmallNetwork();
  network.layers[0].padding = Padding::kSame;
  EXPECT_NO_THROW(WithInput(network, {3, 32, 30}));
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { WithInput(network, {3, 32, 31}); }),
              HasSubstr("differs between rows and columns"));
}

}  // namespace
}  // namespace lathe::net
