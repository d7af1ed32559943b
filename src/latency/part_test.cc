#include "latency/part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/random.h"
#include "latency/lut.h"
#include "latency/part_model.h"
#include "net/zoo.h"

namespace lathe::latency {
namespace {

std::vector<PartKey> PartKeys(const net::Layer& layer) {
  std::vector<PartKey> keys;
  for (const Part& part : PartsOf(layer)) keys.push_back(KeyOf(part));
  return keys;
}

TEST(PartsOf, AreWhatTheEngineRuns) {
  EXPECT_THAT(
      PartKeys(LayerOf("irb_i24x14x14_o32_k5_s2_m96_swish_se8:relu:sigmoid")),
      testing::ElementsAre("conv_i24x14x14_o96x14x14_k1_s1_swish",
                           "conv_i96x14x14_o96x7x7_k5_s2_g96_swish", "pool_i96x7x7",
                           "conv_i96x1x1_o8x1x1_k1_s1_relu", "conv_i8x1x1_o96x1x1_k1_s1_sigmoid",
                           "scale_i96x7x7", "conv_i96x7x7_o32x7x7_k1_s1"));
  EXPECT_THAT(
      PartKeys(LayerOf("fused-irb_i16x8x8_o16_k3_s1_m64_relu_res")),
      testing::ElementsAre("conv_i16x8x8_o64x8x8_k3_s1_relu", "conv_i64x8x8_o16x8x8_k1_s1_add"));
  EXPECT_THAT(PartKeys(LayerOf("tail_i16x8x8_o10_m32_relu_h20:swish")),
              testing::ElementsAre("conv_i16x8x8_o32x8x8_k1_s1_relu", "pool_i32x8x8",
                                   "linear_i32_o20_swish", "linear_i20_o10"));
}

TEST(PartKey, ReadsBackEveryPartOfTheZoo) {
  std::set<PartKey> keys;
  for (const net::ZooEntry& entry : net::Zoo()) {
    for (const net::Layer& layer : net::ZooNetwork(entry.name).layers) {
      for (const Part& part : PartsOf(layer)) {
        EXPECT_EQ(PartOf(KeyOf(part)), part);
        keys.insert(KeyOf(part));
      }
    }
  }
  EXPECT_GT(keys.size(), 300u);
}

TEST(PartKey, NonsenseIsNamed) {
  for (const PartKey key :
       {"", "conv", "cnov_i8x4x4_o8x4x4_k1_s1", "conv_i8x4x4_k1_s1", "conv_i8x4_o8x4x4_k1_s1",
        "conv_i8x4x4_o8x4x4_k1_s1_g3", "conv_i8x4x4_o8x4x4_k1_s1_none", "pool_i8x4x4_k3",
        "conv_o8x4x4_i8x4x4_k1_s1", "conv_i8x4x4_o8x4x4_k0_s1", "linear_i8", "pool_i0x4x4",
        "scale_i8x4x4_add_add"}) {
    EXPECT_THAT([&] { PartOf(key); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("part key '" + key + "'")))
        << key;
  }
}

TEST(Part, CountsAsTheNetworkDoes) {
  for (const net::Layer& layer : net::ZooNetwork("gpunet_d1").layers) {
    double macs = 0;
    for (const Part& part : PartsOf(layer)) macs += Macs(part);
    EXPECT_EQ(macs, static_cast<double>(net::Count(layer).macs));
  }
}

// A processor whose convolutions work on 16 channels at a time, with some overhead.
double TrueUs(const Part& part) {
  const double padded = (part.out.c + 15) / 16 * 16.0 / part.out.c;
  return 3 + Macs(part) * padded / 50e3 + (Values(part.in) + Values(part.out)) / 4e3;
}

Part Pointwise(int in, int out, int side) {
  return {.kind = net::NodeKind::kConv, .in = {in, side, side}, .out = {out, side, side}};
}

TEST(PartModel, LearnsAndExtrapolates) {
  Random random(1);
  std::map<PartKey, PartEntry> entries;
  for (const int in : {24, 32, 48, 64, 96, 128}) {
    for (const int out : {16, 24, 40, 56, 72, 96, 136, 192}) {
      for (const int side : {7, 14, 28}) {
        const Part part = Pointwise(in, out, side);
        const double noise = 1 + 0.01 * random.Normal();
        entries[KeyOf(part)] = {
            .part = part, .latency_us = TrueUs(part) * noise, .spread = 0, .samples = 3};
      }
    }
  }
  const PartModel model(entries);
  for (const Part& part : {Pointwise(40, 88, 14), Pointwise(80, 120, 21), Pointwise(112, 64, 10)}) {
    const PartModel::Prediction prediction = model.Predict(part);
    EXPECT_NEAR(prediction.latency_us / TrueUs(part), 1, 0.03) << KeyOf(part);
    EXPECT_LT(prediction.sigma, 0.05);
  }
  const Part far = Pointwise(256, 512, 56);
  EXPECT_NEAR(model.Predict(far).latency_us / TrueUs(far), 1, 0.15);
  EXPECT_GT(model.Predict(far).sigma, model.Predict(Pointwise(40, 88, 14)).sigma);

  Part pool = Pointwise(8, 8, 4);
  pool.kind = net::NodeKind::kPool;
  EXPECT_FALSE(model.Covers(pool));
  Part grouped = Pointwise(64, 64, 14);
  grouped.groups = 4;
  EXPECT_TRUE(model.Covers(grouped)) << "other convolutions tell something of it";
  EXPECT_NEAR(model.Predict(grouped).latency_us / TrueUs(grouped), 1, 0.3);
}

}  // namespace
}  // namespace lathe::latency
