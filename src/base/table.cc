#include "base/table.h"

#include <unistd.h>

#include <algorithm>
#include <regex>
#include <string_view>

#include "base/terminal.h"
#include "base/utf8.h"

namespace lathe {
namespace {

constexpr size_t kGap = 2;         // between columns
constexpr size_t kNarrowest = 12;  // that a column of longer words gets
constexpr std::string_view kBreakAfter = "/,_-@";

// A number, perhaps with a unit: "-1.5", "250,114", "1e-3", "12 %", "3.2 ms", "12.3 M".
bool LooksLikeNumber(const std::string& cell) {
  static const std::regex kNumber(R"([-+]?[0-9][0-9.,]*([eE][-+]?[0-9]+)?( ?[^\s0-9]{1,4})?)");
  return std::regex_match(cell, kNumber);
}

bool IsPlaceholder(const std::string& cell) { return cell.empty() || cell == "-"; }

// Lines of at most `width` columns: broken at spaces, within words that are too long after
// punctuation, and anywhere when there is none.
std::vector<std::string> Wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  while (Width(text) > width) {
    const size_t fits = BytesOf(text, width);
    size_t end = text.rfind(' ', fits);
    if (end == std::string_view::npos || end == 0) {
      const size_t mark = text.find_last_of(kBreakAfter, fits - 1);
      end = mark == std::string_view::npos || mark == 0 ? fits : mark + 1;
    }
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ', end)));
  }
  lines.emplace_back(text);
  return lines;
}

size_t LongestWord(std::string_view text) {
  size_t longest = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.size(), text.find(' '));
    longest = std::max(longest, Width(text.substr(0, end)));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return longest;
}

struct Column {
  size_t width = 0;
  size_t narrowest = 0;  // that it can be
  size_t below_header = 0;
  bool numbers = false, text = false;
  bool right() const { return numbers && !text; }
};

std::vector<Column> Measure(const std::vector<std::vector<std::string>>& rows) {
  std::vector<Column> columns;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].size() > columns.size()) columns.resize(rows[r].size());
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const std::string& cell = rows[r][c];
      const bool number = LooksLikeNumber(cell);
      Column& column = columns[c];
      column.width = std::max(column.width, Width(cell));
      if (r > 0) column.below_header = std::max(column.below_header, Width(cell));
      column.narrowest = std::max(column.narrowest,
                                  number ? Width(cell) : std::min(LongestWord(cell), kNarrowest));
      if (r > 0 && !IsPlaceholder(cell)) (number ? column.numbers : column.text) = true;
    }
  }
  return columns;
}

// Takes from the widest column, as long as any can give: the header's length first, then the
// cells'.
void Fit(std::vector<Column>& columns, size_t limit) {
  size_t total = kGap * (columns.size() - 1);
  for (const Column& column : columns) total += column.width;
  for (const bool header : {true, false}) {
    while (total > limit) {
      Column* widest = nullptr;
      for (Column& column : columns) {
        const size_t least =
            header ? std::max(column.narrowest, column.below_header) : column.narrowest;
        if (column.width > least && (!widest || column.width > widest->width)) widest = &column;
      }
      if (!widest) break;
      --widest->width;
      --total;
    }
  }
}

std::string Lines(const std::vector<std::string>& row, const std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> cells;
  size_t height = 0;
  for (size_t c = 0; c < row.size(); ++c) {
    cells.push_back(Wrap(row[c], std::max<size_t>(1, columns[c].width)));
    height = std::max(height, cells.back().size());
  }
  std::string out;
  for (size_t i = 0; i < height; ++i) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      const std::string text = i < cells[c].size() ? cells[c][i] : "";
      const std::string padding(columns[c].width - Width(text), ' ');
      if (c > 0) line += std::string(kGap, ' ');
      line += columns[c].right() ? padding + text : text + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace

int StdoutColumns() { return ColumnsOf(STDOUT_FILENO); }

std::string FormatTable(const std::vector<std::vector<std::string>>& rows, int columns) {
  std::vector<Column> measured = Measure(rows);
  if (columns > 0 && !measured.empty()) Fit(measured, static_cast<size_t>(columns));
  std::string out;
  for (const std::vector<std::string>& row : rows) out += Lines(row, measured);
  return out;
}

}  // namespace lathe
