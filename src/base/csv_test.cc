#include "base/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_folder_testing.h"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(std::string_view text) {
  return MessageOf(ErrorKind::kInput, [&] { Csv::Parse(text, "t.csv").Column("loss"); });
}

TEST(Csv, ReadsFieldsAsTheyStand) {
  const Csv csv = Csv::Parse("a, loss ,note\r\n1,2,\"x, \"\"y\"\"\"\r\n\r\n3,4,", "t.csv");
  EXPECT_THAT(csv.columns, ElementsAre("a", "loss", "note"));
  EXPECT_THAT(csv.rows, ElementsAre(ElementsAre("1", "2", "x, \"y\""), ElementsAre("3", "4", "")));
  EXPECT_THAT(csv.lines, ElementsAre(2, 4));
  EXPECT_EQ(csv.Column("note"), 2u);
  EXPECT_FALSE(csv.Find("b"));
}

TEST(Csv, NamesMistakesWithTheirLine) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("t.csv: empty"));
  EXPECT_THAT(ErrorOf("a,loss\n"), HasSubstr("no rows"));
  EXPECT_THAT(ErrorOf("a,a\n1,2\n"), HasSubstr("t.csv:1: column 'a' is there twice"));
  EXPECT_THAT(ErrorOf("a,\n1,2\n"), HasSubstr("has no name"));
  EXPECT_THAT(ErrorOf("a,loss\n1,2\n1\n"), HasSubstr("t.csv:3: 1 fields"));
  EXPECT_THAT(ErrorOf("a,los\n1,2\n"), HasSubstr("did you mean 'los'"));
}

TEST(Csv, Numbers) {
  EXPECT_EQ(ParseNumber("+1.5e3"), 1500);
  EXPECT_FALSE(ParseNumber("1.5x"));
  EXPECT_FALSE(ParseNumber(""));
}

}  // namespace
}  // namespace lathe
