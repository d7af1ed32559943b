// A recorded search: a CSV table with one row per candidate, which a proposer can be run against
// without training anything. Immutable after reading; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "search/proposer.h"

namespace lathe::search {

struct TableOptions {
  std::vector<std::string> params;  // empty: every column that is not named below
  std::string objective;
  bool maximize = false;
  struct Constraint {  // known before a row is evaluated, as a latency is
    std::string column;
    double most = 0;
  };
  std::vector<Constraint> constraints;
  std::string cost;   // column of simulated seconds per trial; empty: one each
  std::string curve;  // columns with this prefix and a number: the objective after so many epochs
};

// "COL<=X"; throws kUsage otherwise.
TableOptions::Constraint ParseConstraint(std::string_view text);

class Table {
 public:
  struct Row {
    Candidate candidate;  // encoding: places in Dimension::choices; features: constraints,
                          // mean rank of the ordinal parameters, share above their lowest
    Outcome objective;    // to minimise; absent where the table has no finite number
    bool feasible = true;
    double seconds = 1;
    struct Point {
      int step;
      double value;  // to minimise
    };
    std::vector<Point> curve;  // ascending; points without a finite value are left out
  };

  // Columns of numbers are ordinal, others (words, booleans) categorical; columns of the same
  // values are of one kind. Throws kInput naming line and column: no header, ragged rows, missing
  // or unknown values, two rows of the same candidate, unknown columns (with the nearest name), no
  // feasible row with a result.
  static Table Parse(std::string_view csv, std::string_view name, const TableOptions& options);

  const std::vector<Dimension>& dimensions() const { return dimensions_; }
  const std::vector<Row>& rows() const { return rows_; }
  const std::vector<size_t>& feasible() const { return feasible_; }  // rows, with or without result
  const Row* Find(const std::vector<int>& encoding) const;           // null: none
  double best() const { return best_; }         // least objective of a feasible row
  int last_step() const { return last_step_; }  // of the curves; 0: there are none

 private:
  std::vector<Dimension> dimensions_;
  std::vector<Row> rows_;
  std::vector<size_t> feasible_;
  std::map<std::vector<int>, size_t> by_encoding_;
  double best_ = 0;
  int last_step_ = 0;
};

// The feasible rows as candidates. A row's neighbours are those that differ from it in one
// parameter; where the table has few of them, the nearest rows.
class TableSource : public CandidateSource {
 public:
  explicit TableSource(const Table& table) : table_(table) {}
  std::vector<Candidate> Draw(int count, Random& random) override;
  std::vector<Candidate> Neighbours(const Candidate& candidate) override;

 private:
  const Table& table_;
};

}  // namespace lathe::search
