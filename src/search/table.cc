#include "search/table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "base/config.h"
#include "base/error.h"

namespace lathe::search {
namespace {

constexpr size_t kEnoughNeighbours = 8;
constexpr size_t kNearest = 32;

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::optional<double> NumberOf(std::string_view text) {
  double number = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// One line of a CSV file; fields may stand in double quotes, a quote inside is doubled.
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
  for (std::string& field : fields) field = std::string(Trim(field));
  return fields;
}

struct Csv {
  std::string name;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<int> lines;  // of the rows

  Csv(std::string_view text, std::string_view the_name) : name(the_name) {
    int line_number = 0;
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = Trim(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      ++line_number;
      if (line.empty()) continue;
      std::vector<std::string> fields = Fields(line);
      if (columns.empty()) {
        columns = std::move(fields);
        CheckHeader();
        continue;
      }
      if (fields.size() != columns.size()) {
        throw Error(ErrorKind::kInput, "{}:{}: {} fields, but the header has {}", name, line_number,
                    fields.size(), columns.size());
      }
      rows.push_back(std::move(fields));
      lines.push_back(line_number);
    }
    if (columns.empty()) {
      throw Error(ErrorKind::kInput, "{}: empty; a table starts with a line of column names", name);
    }
    if (rows.empty()) throw Error(ErrorKind::kInput, "{}: the table has no rows", name);
  }

  void CheckHeader() const {
    std::set<std::string> seen;
    for (const std::string& column : columns) {
      if (!column.empty() && seen.insert(column).second) continue;
      throw Error(ErrorKind::kInput, "{}:1: column '{}' {}", name, column,
                  column.empty() ? "has no name" : "is there twice");
    }
  }

  size_t Column(const std::string& column) const {
    const auto found = std::ranges::find(columns, column);
    if (found != columns.end()) return static_cast<size_t>(found - columns.begin());
    const std::string nearest = NearestName(column, columns);
    throw Error(ErrorKind::kInput, "{}: no column '{}'{}; columns: {}", name, column,
                nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest),
                fmt::join(columns, ", "));
  }

  // Throws unless the field is a finite number.
  double Number(size_t row, size_t column) const {
    const std::optional<double> number = NumberOf(rows[row][column]);
    if (number && std::isfinite(*number)) return *number;
    throw Error(ErrorKind::kInput, "{}:{}: column '{}' is '{}', not a finite number", name,
                lines[row], columns[column], rows[row][column]);
  }
};

// The distinct values of a parameter's column, ascending: as numbers where all are.
std::vector<std::string> ChoicesOf(const Csv& csv, size_t column, bool& ordinal) {
  std::set<std::string> distinct;
  ordinal = true;
  for (size_t r = 0; r < csv.rows.size(); ++r) {
    const std::string& value = csv.rows[r][column];
    if (value.empty()) {
      throw Error(ErrorKind::kInput, "{}:{}: column '{}' has no value", csv.name, csv.lines[r],
                  csv.columns[column]);
    }
    distinct.insert(value);
    const std::optional<double> number = NumberOf(value);
    ordinal = ordinal && number && std::isfinite(*number);
  }
  std::vector<std::string> choices(distinct.begin(), distinct.end());
  if (ordinal) {
    std::ranges::stable_sort(choices, {}, [](const std::string& c) { return *NumberOf(c); });
  }
  return choices;
}

std::vector<size_t> ParamColumns(const Csv& csv, const TableOptions& options) {
  std::vector<size_t> columns;
  for (const std::string& param : options.params) columns.push_back(csv.Column(param));
  std::set<size_t> named = {csv.Column(options.objective)};
  for (const auto& constraint : options.constraints) named.insert(csv.Column(constraint.column));
  if (!options.cost.empty()) named.insert(csv.Column(options.cost));
  for (const size_t column : columns) {
    if (!named.insert(column).second) {
      throw Error(ErrorKind::kInput,
                  "{}: column '{}' cannot be a parameter twice, or beside being objective, "
                  "constraint or cost",
                  csv.name, csv.columns[column]);
    }
  }
  if (!options.params.empty()) return columns;
  for (size_t c = 0; c < csv.columns.size(); ++c) {
    if (!named.contains(c)) columns.push_back(c);
  }
  if (columns.empty()) {
    throw Error(ErrorKind::kInput, "{}: no column is left to be a parameter", csv.name);
  }
  return columns;
}

// What networks' size and depth are in a search: how high the ordinal parameters stand on average,
// and how many are above their lowest value.
void AppendShape(const std::vector<Dimension>& dimensions, Candidate& candidate) {
  double ranks = 0, above = 0;
  int ordinal = 0;
  for (size_t d = 0; d < dimensions.size(); ++d) {
    const auto last = static_cast<double>(dimensions[d].choices.size()) - 1;
    if (!dimensions[d].ordinal || last < 1) continue;
    ++ordinal;
    ranks += candidate.encoding[d] / last;
    above += candidate.encoding[d] > 0 ? 1 : 0;
  }
  if (ordinal < 2) return;
  candidate.features.push_back(ranks / ordinal);
  candidate.features.push_back(above / ordinal);
}

}  // namespace

TableOptions::Constraint ParseConstraint(std::string_view text) {
  const size_t at = text.find("<=");
  if (at != std::string_view::npos) {
    const std::optional<double> most = NumberOf(Trim(text.substr(at + 2)));
    const std::string column(Trim(text.substr(0, at)));
    if (most && !std::isnan(*most) && !column.empty()) return {.column = column, .most = *most};
  }
  throw Error(ErrorKind::kUsage, "constraint '{}': give COLUMN<=NUMBER", text);
}

Table Table::Parse(std::string_view text, std::string_view name, const TableOptions& options) {
  const Csv csv(text, name);
  const size_t objective = csv.Column(options.objective);
  const std::vector<size_t> params = ParamColumns(csv, options);
  Table table;
  std::vector<std::map<std::string, int>> places(params.size());
  for (size_t p = 0; p < params.size(); ++p) {
    Dimension dimension{.name = csv.columns[params[p]], .choices = {}};
    for (const std::string& choice : ChoicesOf(csv, params[p], dimension.ordinal)) {
      const auto place = static_cast<int>(dimension.choices.size());
      places[p].emplace(choice, place);
      dimension.choices.push_back(place);
    }
    table.dimensions_.push_back(std::move(dimension));
  }
  std::optional<double> best;
  for (size_t r = 0; r < csv.rows.size(); ++r) {
    Row row;
    for (size_t p = 0; p < params.size(); ++p) {
      row.candidate.encoding.push_back(places[p].at(csv.rows[r][params[p]]));
    }
    for (const auto& constraint : options.constraints) {
      const double value = csv.Number(r, csv.Column(constraint.column));
      row.feasible = row.feasible && value <= constraint.most;
      row.candidate.features.push_back(value > 0 ? std::log(value) : value);
    }
    AppendShape(table.dimensions_, row.candidate);
    if (!options.cost.empty()) {
      row.seconds = csv.Number(r, csv.Column(options.cost));
      if (row.seconds < 0) {
        throw Error(ErrorKind::kInput, "{}:{}: a cost of {} seconds", csv.name, csv.lines[r],
                    row.seconds);
      }
    }
    const std::optional<double> value = NumberOf(csv.rows[r][objective]);
    if (value && std::isfinite(*value)) row.objective = options.maximize ? -*value : *value;
    const auto [same, fresh] = table.by_encoding_.try_emplace(row.candidate.encoding, r);
    if (!fresh) {
      throw Error(ErrorKind::kInput, "{}:{}: the same parameters as in line {}; name others", name,
                  csv.lines[r], csv.lines[same->second]);
    }
    if (row.feasible) {
      table.feasible_.push_back(r);
      if (row.objective && (!best || *row.objective < *best)) best = row.objective;
    }
    table.rows_.push_back(std::move(row));
  }
  if (table.feasible_.empty()) {
    throw Error(ErrorKind::kTargetNotReached, "{}: no row meets the constraints", name);
  }
  if (!best) {
    throw Error(ErrorKind::kInput, "{}: column '{}' has no finite number in any feasible row", name,
                options.objective);
  }
  table.best_ = *best;
  return table;
}

const Table::Row* Table::Find(const std::vector<int>& encoding) const {
  const auto found = by_encoding_.find(encoding);
  return found == by_encoding_.end() ? nullptr : &rows_[found->second];
}

std::vector<Candidate> TableSource::Draw(int count, Random& random) {
  const std::vector<size_t>& feasible = table_.feasible();
  std::vector<Candidate> drawn;
  const auto wanted = static_cast<size_t>(std::max(count, 0));
  if (wanted < feasible.size()) {
    for (size_t i = 0; i < wanted; ++i) {
      drawn.push_back(table_.rows()[feasible[random.Below(feasible.size())]].candidate);
    }
    return drawn;
  }
  std::vector<size_t> order = feasible;  // all of them, once
  random.Shuffle(std::span(order));
  for (const size_t row : order) drawn.push_back(table_.rows()[row].candidate);
  return drawn;
}

std::vector<Candidate> TableSource::Neighbours(const Candidate& candidate) {
  std::vector<Candidate> neighbours;
  for (size_t d = 0; d < table_.dimensions().size(); ++d) {
    std::vector<int> encoding = candidate.encoding;
    for (const int choice : table_.dimensions()[d].choices) {
      encoding[d] = choice;
      if (choice == candidate.encoding[d]) continue;
      const Table::Row* row = table_.Find(encoding);
      if (row != nullptr && row->feasible) neighbours.push_back(row->candidate);
    }
  }
  if (neighbours.size() >= kEnoughNeighbours || neighbours.size() + 1 >= table_.feasible().size()) {
    return neighbours;
  }
  // By the number of parameters that differ, then in the order of the table.
  std::vector<std::pair<size_t, size_t>> nearest;
  for (const size_t r : table_.feasible()) {
    const std::vector<int>& other = table_.rows()[r].candidate.encoding;
    size_t different = 0;
    for (size_t d = 0; d < other.size(); ++d) different += other[d] != candidate.encoding[d];
    if (different > 0) nearest.emplace_back(different, r);
  }
  const size_t kept = std::min(kNearest, nearest.size());
  std::partial_sort(nearest.begin(), nearest.begin() + static_cast<std::ptrdiff_t>(kept),
                    nearest.end());
  neighbours.clear();
  for (size_t i = 0; i < kept; ++i) {
    neighbours.push_back(table_.rows()[nearest[i].second].candidate);
  }
  return neighbours;
}

}  // namespace lathe::search
