#include "search/table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "base/csv.h"
#include "base/error.h"

namespace lathe::search {
namespace {

constexpr size_t kEnoughNeighbours = 8;
constexpr size_t kNearest = 32;

// Throws unless the field is a finite number.
double NumberAt(const Csv& csv, size_t row, size_t column) {
  const std::optional<double> number = ParseNumber(csv.rows[row][column]);
  if (number && std::isfinite(*number)) return *number;
  throw Error(ErrorKind::kInput, "{}:{}: column '{}' is '{}', not a finite number", csv.name,
              csv.lines[row], csv.columns[column], csv.rows[row][column]);
}

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
    const std::optional<double> number = ParseNumber(value);
    ordinal = ordinal && number && std::isfinite(*number);
  }
  std::vector<std::string> choices(distinct.begin(), distinct.end());
  if (ordinal) {
    std::ranges::stable_sort(choices, {}, [](const std::string& c) { return *ParseNumber(c); });
  }
  return choices;
}

struct CurveColumn {
  int step;
  size_t column;
};

// PREFIX1, PREFIX2, ... by step.
std::vector<CurveColumn> CurveColumns(const Csv& csv, const TableOptions& options) {
  std::vector<CurveColumn> curve;
  if (options.curve.empty()) return curve;
  for (size_t c = 0; c < csv.columns.size(); ++c) {
    const std::string_view column = csv.columns[c];
    if (!column.starts_with(options.curve)) continue;
    const std::optional<double> step = ParseNumber(column.substr(options.curve.size()));
    if (step && *step >= 1 && *step <= 1e6 && *step == std::floor(*step)) {
      curve.push_back({.step = static_cast<int>(*step), .column = c});
    }
  }
  if (curve.empty()) {
    throw Error(ErrorKind::kInput, "{}: no columns {}1, {}2, ... of a learning curve", csv.name,
                options.curve, options.curve);
  }
  std::ranges::sort(curve, {}, &CurveColumn::step);
  return curve;
}

std::vector<size_t> ParamColumns(const Csv& csv, const TableOptions& options) {
  std::vector<size_t> columns;
  for (const std::string& param : options.params) columns.push_back(csv.Column(param));
  std::set<size_t> named = {csv.Column(options.objective)};
  for (const auto& constraint : options.constraints) named.insert(csv.Column(constraint.column));
  if (!options.cost.empty()) named.insert(csv.Column(options.cost));
  for (const CurveColumn& curve : CurveColumns(csv, options)) named.insert(curve.column);
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
    const std::optional<double> most = ParseNumber(TrimBlanks(text.substr(at + 2)));
    const std::string column(TrimBlanks(text.substr(0, at)));
    if (most && !std::isnan(*most) && !column.empty()) return {.column = column, .most = *most};
  }
  throw Error(ErrorKind::kUsage, "constraint '{}': give COLUMN<=NUMBER", text);
}

Table Table::Parse(std::string_view text, std::string_view name, const TableOptions& options) {
  const Csv csv = Csv::Parse(text, name);
  const size_t objective = csv.Column(options.objective);
  const std::vector<size_t> params = ParamColumns(csv, options);
  const std::vector<CurveColumn> curve = CurveColumns(csv, options);
  Table table;
  if (!curve.empty()) table.last_step_ = curve.back().step;
  std::vector<std::map<std::string, int>> places(params.size());
  for (size_t p = 0; p < params.size(); ++p) {
    Dimension dimension{.name = csv.columns[params[p]], .choices = {}};
    for (const std::string& choice : ChoicesOf(csv, params[p], dimension.ordinal)) {
      const auto place = static_cast<int>(dimension.choices.size());
      places[p].emplace(choice, place);
      dimension.choices.push_back(place);
      dimension.kind += choice + '\n';  // columns of the same values
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
      const double value = NumberAt(csv, r, csv.Column(constraint.column));
      row.feasible = row.feasible && value <= constraint.most;
      row.candidate.features.push_back(value > 0 ? std::log(value) : value);
    }
    AppendShape(table.dimensions_, row.candidate);
    if (!options.cost.empty()) {
      row.seconds = NumberAt(csv, r, csv.Column(options.cost));
      row.candidate.latency_us = 1e6 * row.seconds;  // as good a measure of its size
      if (row.seconds < 0) {
        throw Error(ErrorKind::kInput, "{}:{}: a cost of {} seconds", csv.name, csv.lines[r],
                    row.seconds);
      }
    }
    for (const CurveColumn& point : curve) {
      const std::optional<double> value = ParseNumber(csv.rows[r][point.column]);
      if (!value || !std::isfinite(*value)) continue;
      row.curve.push_back({.step = point.step, .value = options.maximize ? -*value : *value});
    }
    const std::optional<double> value = ParseNumber(csv.rows[r][objective]);
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
