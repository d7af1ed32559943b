#include "base/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

namespace lathe {
namespace {

TEST(TableTest, AlignsNumbersRight) {
  EXPECT_EQ(FormatTable({{"name", "latency", "note"},
                         {"GPUNet-0", "1.75 ms", "fast"},
                         {"b", "12.1 ms", ""},
                         {"c", "-", "x"}}),
            "name      latency  note\n"
            "GPUNet-0  1.75 ms  fast\n"
            "b         12.1 ms\n"
            "c               -  x\n");
  EXPECT_EQ(FormatTable({{"a", "b"}, {"\u00b5\u00b5", "1,000"}, {"x", "7"}}),
            "a       b\n"
            "\u00b5\u00b5  1,000\n"
            "x       7\n");
  EXPECT_EQ(FormatTable({{"mixed"}, {"12"}, {"text"}}), "mixed\n12\ntext\n");
  EXPECT_EQ(FormatTable({}), "");
  EXPECT_EQ(FormatTable({{"a", "b"}, {"1"}}), "a  b\n1\n");
}

TEST(TableTest, WrapsTextWhereLinesAreTooLong) {
  const std::vector<std::vector<std::string>> rows = {
      {"network", "test accuracy", "path"},
      {"finalist 01", "92.15 %", "runs/fashion-mnist/finalists/01"},
      {"mobilenet_v3_large@28x0.35", "9.20 %", "-"}};
  EXPECT_EQ(FormatTable(rows, 100), FormatTable(rows, 0)) << "it fits";
  EXPECT_EQ(FormatTable(rows, 48),
            "network                 test  path\n"
            "                    accuracy\n"
            "finalist 01          92.15 %  runs/fashion-\n"
            "                              mnist/finalists/01\n"
            "mobilenet_v3_         9.20 %  -\n"
            "large@28x0.35\n");
}

TEST(TableTest, BreaksBetweenWordsFirst) {
  EXPECT_EQ(FormatTable({{"note", "one two three four"}}, 18),
            "note  one two\n"
            "      three four\n");
  // \u00b5 is one column, though two bytes.
  EXPECT_EQ(
      FormatTable({{"\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5"
                    "\u00b5"}},
                  12),
      "\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\u00b5\n\u00b5\u00b5\n");
}

TEST(TableTest, NeverBreaksNumbersAndNeverLosesAnything) {
  const std::vector<std::vector<std::string>> rows = {
      {"a long header", "MACs", "what it is"}, {"1,234,567", "12.3 M", "some words and/a_path"}};
  std::string all;
  for (const auto& row : rows) {
    for (const std::string& cell : row) all += cell;
  }
  std::erase(all, ' ');
  std::ranges::sort(all);
  for (int columns = 1; columns < 60; ++columns) {
    const std::string table = FormatTable(rows, columns);
    EXPECT_NE(table.find("1,234,567"), std::string::npos) << columns;
    EXPECT_NE(table.find("12.3 M"), std::string::npos) << columns;
    std::string shown = table;
    std::erase_if(shown, [](char c) { return c == ' ' || c == '\n'; });
    std::ranges::sort(shown);
    EXPECT_EQ(shown, all) << columns;
    std::istringstream lines(table);
    for (std::string line; columns >= 33 && std::getline(lines, line);)
      EXPECT_LE(line.size(), static_cast<size_t>(columns));
  }
}

}  // namespace
}  // namespace lathe
