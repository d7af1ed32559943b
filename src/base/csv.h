// Reading CSV: a header with column names, then one row per line. Fields may stand in double
// quotes, a quote inside is doubled; blanks around fields and empty lines do not count.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

std::string_view TrimBlanks(std::string_view text);        // spaces, tabs, carriage returns
std::optional<double> ParseNumber(std::string_view text);  // the whole text, or nullopt

struct Csv {
  std::string name;  // for messages
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // as many fields as columns
  std::vector<int> lines;                      // of the rows, from 1

  // Throws kInput naming the line: no header, no rows, columns without or with the same name,
  // ragged rows.
  static Csv Parse(std::string_view text, std::string_view name);

  std::optional<size_t> Find(std::string_view column) const;
  size_t Column(const std::string& column) const;  // throws kInput with the nearest name
};

}  // namespace lathe
