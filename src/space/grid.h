// Histograms of networks over latency (and, where limited, parameters and MACs), on a grid of equal
// cells, and the one operation the counts are made of: adding a histogram shifted by a cost.
// Private to this module.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "space/big_count.h"
#include "space/cost_tables.h"

namespace lathe::space {

// Cells are bins of latency within rows of parameters and MACs. A cost is rounded to the nearest
// multiple of the units; what would fall outside is dropped. Unit 0: not looked at.
struct Grid {
  int64_t unit_ps = 0, unit_params = 0, unit_macs = 0;
  int64_t bins = 1, params_rows = 1, macs_rows = 1;

  struct Shift {
    int64_t bins = 0, params = 0, macs = 0;
    Shift operator+(const Shift& other) const {
      return {bins + other.bins, params + other.params, macs + other.macs};
    }
    Shift operator-(const Shift& other) const {
      return {bins - other.bins, params - other.params, macs - other.macs};
    }
    bool FitsInto(const Shift& at) const {  // at - *this is a cell, if `at` is
      return bins <= at.bins && params <= at.params && macs <= at.macs;
    }
  };
  Shift Round(const Cost& cost) const;
  Cost Value(const Shift& shift) const;  // of the rounded cost; 0 where not looked at
  int64_t rows() const { return params_rows * macs_rows; }
  size_t Cell(const Shift& at) const {
    return static_cast<size_t>((at.params * macs_rows + at.macs) * bins + at.bins);
  }
};

// Numbers of networks, twice: as doubles, right to about 1e-14, and modulo 2^64, exactly. Together
// they give the exact number (ExactCount). Only cells in [begin, end) of each row may be non-zero.
struct Histogram {
  std::vector<double> value;
  std::vector<uint64_t> low;  // empty where only draws are wanted
  int64_t begin = 0, end = 0;

  Histogram() = default;
  Histogram(const Grid& grid, bool exact);
  bool empty() const { return begin >= end; }
  void Clear(const Grid& grid);
};

// to += from, once shifted by each of `shifts`; bins of `to` at or above `limit` are left out.
void AddShifted(const Grid& grid, const Histogram& from, std::span<const Grid::Shift> shifts,
                int64_t limit, Histogram& to);

// The number that `low` is modulo 2^64 and `value` approximates; exact while value < kExactBelow.
Uint128 ExactCount(double value, uint64_t low);
inline constexpr double kExactBelow = 0x1p100;

}  // namespace lathe::space
