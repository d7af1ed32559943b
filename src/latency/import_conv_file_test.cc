#include "latency/import_conv_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe::latency {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ConvFile : public testing::Test {
 protected:
  ConvTimings Read(const std::string& text, int batch = 1) {
    WriteFileAtomically(path_, text);
    return ReadConvTimings(path_, batch);
  }
  std::string ReadError(const std::string& text, int batch = 1) {
    return MessageOf(ErrorKind::kInput, [&] { Read(text, batch); });
  }
  void TearDown() override { std::filesystem::remove(path_); }

  const std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) /
      ("conv_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(ConvFile, ReadsConvolutionsOfOneBatch) {
  const ConvTimings read = Read(
      "{Regular,1,96,57,56,192,3,2,1} 0.0135\r\n"
      "\n"
      "{Depthwise,1,16,14,14,16,5,1,0} 0.0243\n"
      "{Regular,32,96,56,56,192,1,1,0} 0.3\n"
      "{Regular,1,8,6,6,8,1,1,0} -1\n"
      "{Depthwise,1,16,14,14,16,5,1,0} 0.0243");
  ASSERT_EQ(read.timings.size(), 2U);
  EXPECT_EQ(read.failed, 1);
  EXPECT_EQ(KeyOf(read.timings[0].part), "conv_i96x57x56_o192x29x28_k3_s2_add");
  EXPECT_DOUBLE_EQ(read.timings[0].latency_us, 13.5);
  EXPECT_EQ(KeyOf(read.timings[1].part), "conv_i16x14x14_o16x14x14_k5_s1_g16");
  EXPECT_DOUBLE_EQ(read.timings[1].latency_us, 24.3);
}

TEST_F(ConvFile, NamesFileLineAndReason) {
  const std::string good = "{Regular,1,96,56,56,192,1,1,0} 0.0135\n";
  const struct {
    const char* line;
    const char* reason;
  } cases[] = {
      {"{Regular,1,96,56,56,192,1,1,0} 0", "above 0"},
      {"{Regular,1,96,56,56,192,1,1,0} -2", "above 0"},
      {"{Regular,1,96,56,56,192,1,1,0} nan", "above 0"},
      {"{Regular,1,96,56,56,192,1,1,0} inf", "above 0"},
      {"{Regular,1,96,56,56,192,1,1,0} fast", "not a number"},
      {"{Regular,1,96,56,56,192,1,1,0} 0.1 0.2", "not a number"},
      {"{Regular,1,96,56,56,192,1,1,0}", "cut short"},
      {"{Regular,1,96,56,", "in braces"},
      {"{Regular,1,96,56,56,192,1,1} 0.1", "nine values"},
      {"{Regular,1,96,56,56,192,1,1,0,0} 0.1", "nine values"},
      {"{Regular,1,96,56,56,192,1,1,2} 0.1", "0 or 1"},
      {"{Regular,1,96,0,56,192,1,1,0} 0.1", "below 1"},
      {"{Regular,1,96,5x,56,192,1,1,0} 0.1", "not an integer"},
      {"{Sparse,1,96,56,56,192,1,1,0} 0.1", "Regular or Depthwise"},
      {"{Depthwise,1,96,56,56,192,1,1,0} 0.1", "as many outputs"},
      {"layer,ms", "in braces"},
  };
  for (const auto& [line, reason] : cases) {
    EXPECT_THAT(ReadError(good + line + "\n"),
                AllOf(HasSubstr(path_.string() + ":2: "), HasSubstr(reason)))
        << line;
  }
}

TEST_F(ConvFile, RefusesTwoLatenciesOfOneConvolution) {
  EXPECT_THAT(ReadError("{Regular,1,96,56,56,192,1,1,0} 0.0135\n"
                        "{Regular,1,96,56,56,192,1,1,0} 0.0136\n"),
              AllOf(HasSubstr(":2: "), HasSubstr("0.0136"), HasSubstr("0.0135 ms in line 1")));
}

TEST_F(ConvFile, SaysWhichBatchesAreThere) {
  EXPECT_THAT(ReadError("{Regular,1,96,56,56,192,1,1,0} 0.0135\n"
                        "{Regular,32,96,56,56,192,1,1,0} 0.2\n"
                        "{Regular,32,96,56,56,96,1,1,0} 0.1\n",
                        8),
              AllOf(HasSubstr("batch 8"), HasSubstr("1 (1 lines), 32 (2 lines)")));
  EXPECT_THAT(ReadError("\n"), HasSubstr("no timings"));
}

}  // namespace
}  // namespace lathe::latency
