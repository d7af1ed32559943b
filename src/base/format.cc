// The text helpers of log.h: durations, counts and tables for people.
#include <algorithm>
#include <array>
#include <cmath>
#include <regex>

#include "base/log.h"

namespace lathe {
namespace {

// Columns that UTF-8 `text` takes on a terminal ("µs" takes two).
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

// A number, perhaps with a unit: "-1.5", "250,114", "1e-3", "12 %", "3.2 ms", "12.3 M".
bool LooksLikeNumber(const std::string& cell) {
  static const std::regex kNumber(R"([-+]?[0-9][0-9.,]*([eE][-+]?[0-9]+)?( ?[^\s0-9]{1,4})?)");
  return std::regex_match(cell, kNumber);
}

bool IsPlaceholder(const std::string& cell) { return cell.empty() || cell == "-"; }

}  // namespace

std::string FormatSeconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds > 0 && seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  const double whole = std::round(seconds);
  if (whole < 60) return fmt::format("{:.0f} s", whole);
  const auto total = static_cast<int64_t>(std::min(whole, 1e15));
  if (total < 3600) return fmt::format("{}m{:02}s", total / 60, total % 60);
  const int64_t minutes = (total + 30) / 60;
  return fmt::format("{}h{:02}m", minutes / 60, minutes % 60);
}

std::string FormatCount(int64_t value) {
  std::string text = std::to_string(value);
  const size_t first_digit = value < 0 ? 1 : 0;
  for (size_t i = text.size(); i > first_digit + 3;) text.insert(i -= 3, 1, ',');
  return text;
}

std::string FormatShort(double value) {
  constexpr std::array<const char*, 5> kUnits = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  double scaled = value;
  // The limits are where rounding would print 1000.
  while (unit + 1 < kUnits.size() && std::abs(scaled) >= (unit == 0 ? 999.5 : 999.95)) {
    scaled /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.3g}", scaled);
  return fmt::format("{:.1f}{}", scaled, kUnits[unit]);
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  struct Column {
    size_t width = 0;
    bool right = false;
    bool text = false;
  };
  std::vector<Column> columns;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].size() > columns.size()) columns.resize(rows[r].size());
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const std::string& cell = rows[r][c];
      columns[c].width = std::max(columns[c].width, Width(cell));
      if (r == 0 || IsPlaceholder(cell)) continue;
      (LooksLikeNumber(cell) ? columns[c].right : columns[c].text) = true;
    }
  }

  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(columns[c].width - Width(row[c]), ' ');
      const bool right = columns[c].right && !columns[c].text;
      if (c > 0) line += "  ";
      line += right ? padding + row[c] : row[c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace lathe
