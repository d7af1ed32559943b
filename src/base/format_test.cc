#include <gtest/gtest.h>

#include <cmath>

#include "base/log.h"

namespace lathe {
namespace {

TEST(FormatTest, Seconds) {
  EXPECT_EQ(FormatSeconds(0), "0 s");
  EXPECT_EQ(FormatSeconds(0.85), "850 ms");
  EXPECT_EQ(FormatSeconds(0.9999), "1 s");
  EXPECT_EQ(FormatSeconds(42), "42 s");
  EXPECT_EQ(FormatSeconds(59.6), "1m00s");
  EXPECT_EQ(FormatSeconds(190), "3m10s");
  EXPECT_EQ(FormatSeconds(3599.7), "1h00m");
  EXPECT_EQ(FormatSeconds(2 * 3600 + 5 * 60 + 20), "2h05m");
  EXPECT_EQ(FormatSeconds(100 * 3600), "100h00m");
  EXPECT_EQ(FormatSeconds(-1), "?");
  EXPECT_EQ(FormatSeconds(NAN), "?");
}

TEST(FormatTest, Count) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(250114), "250,114");
  EXPECT_EQ(FormatCount(-123456), "-123,456");
  EXPECT_EQ(FormatCount(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(FormatTest, Short) {
  EXPECT_EQ(FormatShort(0), "0");
  EXPECT_EQ(FormatShort(950), "950");
  EXPECT_EQ(FormatShort(0.25), "0.25");
  EXPECT_EQ(FormatShort(1500), "1.5 k");
  EXPECT_EQ(FormatShort(12345678), "12.3 M");
  EXPECT_EQ(FormatShort(999999), "1.0 M");
  EXPECT_EQ(FormatShort(999.7), "1.0 k");
  EXPECT_EQ(FormatShort(999.4), "999");
  EXPECT_EQ(FormatShort(-2.5e9), "-2.5 G");
  EXPECT_EQ(FormatShort(3.17e23), "317000000000.0 T");
}

}  // namespace
}  // namespace lathe
