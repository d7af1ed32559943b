#include "report/columns.h"

#include <gtest/gtest.h>

#include <limits>

namespace lathe::report {
namespace {

TEST(NumberColumnTest, IsWhatPythonMakesOfIt) {
  // base64.b64encode(struct.pack("<4f", 0, 1, -2.5, math.nan))
  const std::vector<double> values = {0, 1, -2.5, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_EQ(NumberColumn(values)["f32"], "AAAAAAAAgD8AACDAAADAfw==");
}

TEST(NumberColumnTest, AnyLength) {
  const std::vector<double> values = {1, 1, 1, 1};
  EXPECT_EQ(NumberColumn(std::span(values).first(0))["f32"], "");
  EXPECT_EQ(NumberColumn(std::span(values).first(1))["f32"], "AACAPw==");
  EXPECT_EQ(NumberColumn(std::span(values).first(2))["f32"], "AACAPwAAgD8=");
  EXPECT_EQ(NumberColumn(std::span(values).first(3))["f32"], "AACAPwAAgD8AAIA/");
}

TEST(NameColumnTest, KeepsDistinctNamesOnce) {
  const std::vector<std::string> values = {"b", "a", "b", "b"};
  const auto column = NameColumn(values);
  EXPECT_EQ(column["names"].dump(), "[\"b\",\"a\"]");
  EXPECT_EQ(column["u8"], "AAEAAA==");
}

TEST(NameColumnTest, WidensForManyNames) {
  std::vector<int> values(257);
  for (int i = 0; i < 257; ++i) values[static_cast<size_t>(i)] = i;
  EXPECT_TRUE(NameColumn(values).contains("u16"));
  values.pop_back();
  EXPECT_TRUE(NameColumn(values).contains("u8"));
}

TEST(TrialColumnsTest, ResultsOnlyOfTrialsThatHaveOne) {
  ReportData data;
  data.genes = {"resolution"};
  data.trials = {{.number = 0, .state = "PRUNED", .loss = 1, .accuracy = 1, .encoding = {28}}};
  const auto columns = TrialColumns(data);
  EXPECT_EQ(columns["accuracy"]["f32"], "AADAfw==");  // NaN
  EXPECT_EQ(columns["genes"][0]["names"].dump(), "[28]");
}

}  // namespace
}  // namespace lathe::report
