#include "net/zoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_folder_testing.h"

namespace lathe::net {
namespace {

using ::testing::HasSubstr;

struct Known {
  const char* name;
  int64_t params;
  int64_t macs;  // 0: not known
};

class KnownCostsTest : public ::testing::TestWithParam<Known> {};

TEST_P(KnownCostsTest, Match) {
  const Costs costs = Count(ZooNetwork(GetParam().name));
  EXPECT_EQ(costs.params, GetParam().params);
  if (GetParam().macs > 0) {
    EXPECT_EQ(costs.macs, GetParam().macs);
  }
}

// Counted by a separate program from the rules of NVIDIA's builder.
INSTANTIATE_TEST_SUITE_P(Gpunet, KnownCostsTest,
                         ::testing::Values(Known{"gpunet_0", 11885432, 3254209280},
                                           Known{"gpunet_1", 12704192, 3308369280},
                                           Known{"gpunet_2", 25798704, 8386275920},
                                           Known{"gpunet_p0", 22815080, 1870345792},
                                           Known{"gpunet_p1", 39905672, 3241678272},
                                           Known{"gpunet_d1", 10589859, 4289640427},
                                           Known{"gpunet_d2", 19036728, 15739476160}));

// Counted in torchvision 0.29.
INSTANTIATE_TEST_SUITE_P(
    Torchvision, KnownCostsTest,
    ::testing::Values(
        Known{"mobilenet_v2", 3504872, 300774272}, Known{"mobilenet_v3_large", 5483032, 216589760},
        Known{"mobilenet_v3_small", 2542856, 56510400},
        Known{"efficientnet_b0", 5288548, 385814752},
        Known{"efficientnet_v2_s", 21458488, 8365617152},
        Known{"mobilenet_v2@28", 3504872, 6977648},
        Known{"efficientnet_v2_s@96", 21458488, 527486912}, Known{"mobilenet_v2x0.5", 1968680, 0},
        Known{"mobilenet_v2x0.35", 1677128, 0}, Known{"mobilenet_v2x1.4", 6108776, 0},
        Known{"mobilenet_v3_largex0.5", 1734576, 0}, Known{"mobilenet_v3_largex0.75", 3377576, 0},
        Known{"mobilenet_v3_smallx0.5", 917264, 0}, Known{"mobilenet_v3_smallx0.75", 1653920, 0},
        Known{"efficientnet_b0x0.5", 1712522, 0}, Known{"efficientnet_b0x1.4", 9670210, 0}));

std::string ErrorOf(std::string_view name, ZooOptions options = {}) {
  return MessageOf(ErrorKind::kInput, [&] { ZooNetwork(name, options); });
}

TEST(ZooTest, OptionsInTheName) {
  EXPECT_EQ(ZooNetwork("mobilenet_v2@64x0.5"),
            ZooNetwork("mobilenet_v2", {.resolution = 64, .width = 0.5}));
  EXPECT_EQ(ZooNetwork("mobilenet_v2@64x0.5").name, "mobilenet_v2@64x0.5");
  EXPECT_EQ(ZooNetwork("gpunet_1@96").input, (Shape{3, 96, 96}));
  EXPECT_EQ(ZooNetwork("gpunet_0").name, "gpunet_0");
}

TEST(ZooTest, SmallImages) {
  for (const ZooEntry& entry : Zoo()) {
    SCOPED_TRACE(entry.name);
    const Network network =
        ZooNetwork(entry.name, {.resolution = 28, .channels = 1, .classes = 10});
    EXPECT_EQ(network.input, (Shape{1, 28, 28}));
    EXPECT_EQ(network.num_classes(), 10);
    EXPECT_EQ(network.layers.back().in.h, 1);
  }
}

TEST(ZooTest, Errors) {
  EXPECT_THAT(ErrorOf("mobilnet_v2"), HasSubstr("did you mean 'mobilenet_v2'?"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("it has: gpunet_0"));
  EXPECT_THAT(ErrorOf("gpunet_0x0.5"), HasSubstr("takes no width multiplier"));
  for (const char* name : {"mobilenet_v2@", "mobilenet_v2@0", "mobilenet_v2@-4", "mobilenet_v2@64x",
                           "mobilenet_v2@64y", "mobilenet_v2@99999999999", "mobilenet_v2x0.5@64"}) {
    EXPECT_THAT(ErrorOf(name), HasSubstr("NAME@PIXELSxWIDTH")) << name;
  }
  EXPECT_THAT(ErrorOf("mobilenet_v2x0"), HasSubstr("width multiplier of 0"));
  EXPECT_THAT(ErrorOf("mobilenet_v2xnan"), HasSubstr("width multiplier of nan"));
  EXPECT_THAT(ErrorOf("mobilenet_v2x17"), HasSubstr("width multiplier of 17"));
  EXPECT_THAT(ErrorOf("mobilenet_v2", {.resolution = -1}), HasSubstr("resolution of -1"));
  EXPECT_THAT(ErrorOf("mobilenet_v2", {.classes = 0}), HasSubstr("out_channels is 0"));
  EXPECT_THAT(ErrorOf("gpunet_0", {.channels = 0}), HasSubstr("is empty"));
}

}  // namespace
}  // namespace lathe::net
