#include "cli/study_comments.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <vector>

#include "base/csv.h"

namespace lathe::cli {
namespace {

// "[trial] epochs" -> what it means.
using Meanings = std::map<std::string, std::string>;

std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return lines;
}

std::vector<std::string> CellsOf(std::string_view row) {
  std::vector<std::string> cells;
  row.remove_prefix(1);
  while (!row.empty()) {
    const size_t end = std::min(row.find('|'), row.size());
    cells.emplace_back(TrimBlanks(row.substr(0, end)));
    row.remove_prefix(std::min(row.size(), end + 1));
  }
  return cells;
}

std::string PlaceOf(const std::string& heading, const std::string& key) {
  return fmt::format("{} {}", heading, key);
}

// Of the columns key, type, default, range, meaning.
Meanings ReadMeanings(std::string_view doc) {
  constexpr size_t kColumns = 5;
  static const std::regex link(R"(\[([^\]]*)\]\([^)]*\))");
  // What stands elsewhere on the page is not in the file.
  static const std::regex elsewhere("^see below|, see below| `[^`]*`: see below");
  Meanings meanings;
  std::string heading;
  for (const std::string& line : LinesOf(doc)) {
    if (line.starts_with("## ")) heading = line.substr(3);
    if (!line.starts_with("| `")) continue;
    const std::vector<std::string> cells = CellsOf(line);
    if (cells.size() != kColumns) continue;
    const std::string key = cells[0].substr(1, cells[0].size() - 2);
    const std::string& range = cells[3];
    const std::string meaning =
        std::regex_replace(std::regex_replace(cells[4], link, "$1"), elsewhere, "");
    meanings[PlaceOf(heading, key)] =
        fmt::format("{}{}", meaning.empty() ? "more in docs/study-file.md" : meaning,
                    range.empty() ? "" : fmt::format(" ({})", range));
  }
  return meanings;
}

std::string Comment(std::string_view text) {
  constexpr size_t kLineWidth = 118;
  std::string comment, line = "#";
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (line.size() + 1 + word.size() > kLineWidth) {
      comment += line + "\n";
      line = "#";
    }
    line += ' ';
    line += word;
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return comment + line + "\n";
}

}  // namespace

std::string WithComments(std::string_view toml, std::string_view doc) {
  const Meanings meanings = ReadMeanings(doc);
  std::string heading = "Top level", text;
  for (const std::string& line : LinesOf(toml)) {
    if (line.starts_with('[')) heading = line;
    const std::string key = line.substr(0, line.find(' '));
    for (const std::string& place : {heading, std::string("Recipe keys")}) {
      const auto meaning = meanings.find(PlaceOf(place, key));
      if (meaning == meanings.end()) continue;
      text += Comment(meaning->second);
      break;
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace lathe::cli
