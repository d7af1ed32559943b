#include "base/csv.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/config.h"
#include "base/error.h"

namespace lathe {
namespace {

std::vector<std::string> Fields(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  for (std::string& field : fields) field = std::string(TrimBlanks(field));
  return fields;
}

void CheckHeader(const Csv& csv) {
  std::set<std::string> seen;
  for (const std::string& column : csv.columns) {
    if (!column.empty() && seen.insert(column).second) continue;
    throw Error(ErrorKind::kInput, "{}:1: column '{}' {}", csv.name, column,
                column.empty() ? "has no name" : "is there twice");
  }
}

}  // namespace

std::string_view TrimBlanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::optional<double> ParseNumber(std::string_view text) {
  double number = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

Csv Csv::Parse(std::string_view text, std::string_view name) {
  Csv csv{.name = std::string(name), .columns = {}, .rows = {}, .lines = {}};
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = TrimBlanks(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    std::vector<std::string> fields = Fields(line);
    if (csv.columns.empty()) {
      csv.columns = std::move(fields);
      CheckHeader(csv);
      continue;
    }
    if (fields.size() != csv.columns.size()) {
      throw Error(ErrorKind::kInput, "{}:{}: {} fields, but the header has {}", name, number,
                  fields.size(), csv.columns.size());
    }
    csv.rows.push_back(std::move(fields));
    csv.lines.push_back(number);
  }
  if (csv.columns.empty()) {
    throw Error(ErrorKind::kInput, "{}: empty; a table starts with a line of column names", name);
  }
  if (csv.rows.empty()) throw Error(ErrorKind::kInput, "{}: the table has no rows", name);
  return csv;
}

std::optional<size_t> Csv::Find(std::string_view column) const {
  const auto found = std::ranges::find(columns, column);
  if (found == columns.end()) return {};
  return static_cast<size_t>(found - columns.begin());
}

size_t Csv::Column(const std::string& column) const {
  if (const std::optional<size_t> found = Find(column)) return *found;
  const std::string nearest = NearestName(column, columns);
  throw Error(ErrorKind::kInput, "{}: no column '{}'{}; columns: {}", name, column,
              nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest),
              fmt::join(columns, ", "));
}

}  // namespace lathe
