#include "latency/import_ofa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "net/zoo.h"

namespace lathe::latency {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// From mit-han-lab/once-for-all (MIT License), tutorial/checkpoints/latency_table@note10/
// 160_lookup_table.yaml.
constexpr const char* kNote10 = R"(AvgPool2D-input:5x5x1152-output:1x1x1152:
  count: 491
  mean: 0.008482688391038698
  std: 0.0006733248071883371
Conv-input:160x160x3-output:80x80x24:
  count: 498
  mean: 0.495562248995984
  std: 0.010239557348882489
Conv_1-input:5x5x192-output:5x5x1152:
  count: 498
  mean: 0.4456807228915663
  std: 0.021099412568183217
Conv_2-input:1x1x1152-output:1x1x1536:
  count: 498
  mean: 0.7474116465863454
  std: 0.09968561638146704
Logits-input:1x1x1536-output:1000:
  count: 499
  mean: 0.656440881763527
  std: 0.07729654276272765
expanded_conv-input:10x10x136-output:5x5x192-expand:408-kernel:3-stride:2-idskip:0-se:1-hs:1:
  count: 52
  mean: 0.6060192307692307
  std: 0.016949574971543587
expanded_conv-input:40x40x32-output:40x40x32-expand:128-kernel:5-stride:1-idskip:1-se:0-hs:0:
  count: 93
  mean: 1.9133118279569892
  std: 0.048725250898822424
expanded_conv-input:80x80x24-output:80x80x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0:
  count: 499
  mean: 0.8487194388777555
  std: 0.021209080439092955
)";

// Keys as mit-han-lab/proxylessnas (search/utils/latency_estimator.py) asks for them.
constexpr const char* kProxyless = R"(
Conv-input:224x224x3-output:112x112x32: {count: 10, mean: 2.0, std: 0.1, min: 1.9, max: 2.2}
expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0: {mean: 1.0}
expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:5-stride:2-idskip:0: {mean: 3.0}
expanded_conv-input:112x112x16-output:56x56x24-expand:96-kernel:5-stride:2-idskip:0: {mean: 5.0}
Conv_1-input:7x7x320-output:7x7x1280: {mean: 0.5, std: 0.03, count: 9}
Logits-input:7x7x1280-output:1000: {mean: 0.25, std: 0.04, count: 7}
)";

class Ofa : public testing::Test {
 protected:
  OfaTable Read(const std::vector<std::string>& texts) {
    std::vector<std::filesystem::path> paths;
    for (const std::string& text : texts) {
      paths.push_back(folder_ / fmt::format("{}.yaml", paths.size()));
      WriteFileAtomically(paths.back(), text);
    }
    return ReadOfaTable(paths);
  }
  std::string ReadError(const std::vector<std::string>& texts) {
    return MessageOf(ErrorKind::kInput, [&] { Read(texts); });
  }
  static std::vector<std::string> Keys(const OfaTable& table) {
    std::vector<std::string> keys;
    for (const auto& [key, entry] : table.entries) keys.push_back(key);
    return keys;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      ("ofa_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(Ofa, ReadsOnceForAll) {
  const OfaTable table = Read({kNote10});
  EXPECT_EQ(table.keys, 8);
  EXPECT_TRUE(table.left_out.empty());
  EXPECT_THAT(Keys(table),
              ElementsAre("conv_i3x160x160_o24_k3_s2_hard-swish",
                          "irb_i136x10x10_o192_k3_s2_m408_hard-swish_se104:relu:hard-sigmoid",
                          "irb_i24x80x80_o24_k3_s1_noexpand_relu_res",
                          "irb_i32x40x40_o32_k5_s1_m128_relu_res",
                          "tail_i192x5x5_o1000_m1152_hard-swish_h1536:hard-swish"));
  const LutEntry& block = table.entries.at("irb_i32x40x40_o32_k5_s1_m128_relu_res");
  EXPECT_DOUBLE_EQ(block.latency_us, 1913.3118279569892);
  EXPECT_EQ(block.samples, 93);
  EXPECT_NEAR(block.spread, 2.563 * 0.048725 / 1.913312, 1e-5);
  const LutEntry& tail = table.entries.at("tail_i192x5x5_o1000_m1152_hard-swish_h1536:hard-swish");
  EXPECT_NEAR(tail.latency_us, 1000 * (0.0084827 + 0.4456807 + 0.7474116 + 0.6564409), 1e-3);
  EXPECT_EQ(tail.samples, 491);
}

TEST_F(Ofa, ReadsProxylessNas) {
  const OfaTable table = Read({kProxyless});
  EXPECT_TRUE(table.left_out.empty());
  EXPECT_THAT(
      Keys(table),
      ElementsAre("conv_i3x224x224_o32_k3_s2_relu6", "irb_i16x112x112_o24_k5_s2_m48_relu6",
                  "irb_i16x112x112_o24_k5_s2_m96_relu6", "irb_i32x112x112_o16_k3_s1_noexpand_relu6",
                  "tail_i320x7x7_o1000_m1280_relu6"));
  EXPECT_DOUBLE_EQ(table.entries.at("tail_i320x7x7_o1000_m1280_relu6").latency_us, 750);
  EXPECT_NEAR(table.entries.at("tail_i320x7x7_o1000_m1280_relu6").spread, 2.563 * 0.05 / 0.75,
              1e-9);
}

// Their keys must be those of networks here, or the table is of no use: MobileNetV2's pieces.
TEST_F(Ofa, FindsLayersOfMobileNetV2) {
  const OfaTable table = Read({kProxyless});
  int found = 0;
  for (const net::Layer& layer : net::ZooNetwork("mobilenet_v2").layers)
    found += table.entries.contains(KeyOf(layer)) ? 1 : 0;
  EXPECT_EQ(found, 3);  // first convolution, first block, tail
}

TEST_F(Ofa, ReadsSeveralFilesAsOneTable) {
  const OfaTable table = Read({"Conv-input:224x224x3-output:112x112x32: {mean: 2}\n",
                               "Conv-input:192x192x3-output:96x96x32: {mean: 1}\n"
                               "Conv-input:224x224x3-output:112x112x32: {mean: 2}\n"});
  EXPECT_EQ(table.entries.size(), 2U);
}

TEST_F(Ofa, ListsWhatIsNoLayer) {
  const OfaTable table =
      Read({"Conv-input:224x224x3-output:112x112x32: {mean: 2}\n"
            "expanded_conv-input:14x14x32-output:14x14x32-expand:3-kernel:3-stride:2-idskip:0: "
            "{mean: 1}\n"
            "expanded_conv-input:14x14x32-output:14x14x64-expand:3-kernel:3-stride:1-idskip:1: "
            "{mean: 1}\n"
            "expanded_conv-input:14x14x32-output:14x14x64-kernel:3-stride:1-idskip:0: {mean: 1}\n"
            "bottleneck-input:14x14x32-output:14x14x64: {mean: 1}\n"
            "Logits-input:7x7x1280-output:1000: {mean: 1}\n"
            "version: {mean: 1}\n"
            "a-b: {mean: 1}\n"});
  EXPECT_EQ(table.keys, 8);
  EXPECT_EQ(table.entries.size(), 1U);
  size_t left_out = 0;
  for (const auto& [reason, keys] : table.left_out) left_out += keys.size();
  EXPECT_EQ(left_out, 7U);
  EXPECT_THAT(table.left_out.at("no layer of ours is called 'bottleneck'"),
              ElementsAre("bottleneck-input:14x14x32-output:14x14x64"));
  EXPECT_THAT(table.left_out.at("a piece of a tail without the others"),
              ElementsAre("Logits-input:7x7x1280-output:1000"));
}

TEST_F(Ofa, NamesFileAndLine) {
  const std::string good = "Conv-input:224x224x3-output:112x112x32: {mean: 2}\n";
  const struct {
    const char* text;
    const char* reason;
  } cases[] = {
      {"Conv-input:192x192x3-output:96x96x32: {mean: 0}", "above 0"},
      {"Conv-input:192x192x3-output:96x96x32: {mean: -1}", "above 0"},
      {"Conv-input:192x192x3-output:96x96x32: {mean: .nan}", "above 0"},
      {"Conv-input:192x192x3-output:96x96x32: {mean: fast}", "'mean', a number"},
      {"Conv-input:192x192x3-output:96x96x32: {std: 1}", "'mean', a number"},
      {"Conv-input:192x192x3-output:96x96x32: {mean: 1, count: 0}", "count or std"},
      {"Conv-input:192x192x3-output:96x96x32: 2", "needs count, mean"},
      {"Conv-input:224x224x3-output:112x112x32: {mean: 3}", "keep the one that is right"},
      {"Conv-input:192x192x3-output:96x96x32: {mean: 1", "not YAML"},
  };
  for (const auto& [text, reason] : cases) {
    EXPECT_THAT(ReadError({good + text + "\n"}),
                AllOf(HasSubstr((folder_ / "0.yaml").string() + ":"), HasSubstr(reason)))
        << text;
  }
  EXPECT_THAT(ReadError({good + cases[0].text}), HasSubstr("0.yaml:2: "));
  EXPECT_THAT(ReadError({"- 1\n"}), HasSubstr("not a latency table"));
  EXPECT_THAT(ReadError({""}), HasSubstr("not a latency table"));
  EXPECT_THAT(ReadError({"a: {mean: 1}\n"}), HasSubstr("none of the 1 keys"));
}

}  // namespace
}  // namespace lathe::latency
