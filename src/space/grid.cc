#include "space/grid.h"

#include <algorithm>
#include <cmath>

#include "space/vector_code.h"

namespace lathe::space {
namespace {

int64_t RoundTo(int64_t value, int64_t unit) { return unit == 0 ? 0 : (value + unit / 2) / unit; }

LATHE_VECTOR_CODE void AddRow(const double* __restrict from, double* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

LATHE_VECTOR_CODE void AddRow(const uint64_t* __restrict from, uint64_t* __restrict to,
                              int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

Grid::Shift Grid::Round(const Cost& cost) const {
  return {RoundTo(cost.latency_ps, unit_ps), RoundTo(cost.params, unit_params),
          RoundTo(cost.macs, unit_macs)};
}

Cost Grid::Value(const Shift& shift) const {
  return {shift.bins * unit_ps, shift.params * unit_params, shift.macs * unit_macs};
}

Histogram::Histogram(const Grid& grid, bool exact)
    : value(static_cast<size_t>(grid.bins * grid.rows()), 0.0), low(exact ? value.size() : 0, 0) {}

void Histogram::Clear(const Grid& grid) {
  if (empty()) return;
  for (int64_t row = 0; row < grid.rows(); ++row) {
    const int64_t start = row * grid.bins + begin;
    std::fill_n(value.begin() + start, end - begin, 0.0);
    if (!low.empty()) std::fill_n(low.begin() + start, end - begin, uint64_t{0});
  }
  begin = end = 0;
}

void AddShifted(const Grid& grid, const Histogram& from, std::span<const Grid::Shift> shifts,
                int64_t limit, Histogram& to) {
  if (from.empty()) return;
  constexpr int64_t kPiece = 1024;  // of the target: stays in the first-level cache for all shifts
  for (const Grid::Shift& shift : shifts) {
    const int64_t begin = from.begin + shift.bins;
    const int64_t end = std::min({from.end + shift.bins, limit, grid.bins});
    if (begin >= end || shift.params >= grid.params_rows || shift.macs >= grid.macs_rows) continue;
    to.begin = to.empty() ? begin : std::min(to.begin, begin);
    to.end = std::max(to.end, end);
  }
  for (int64_t p = 0; p < grid.params_rows; ++p) {
    for (int64_t m = 0; m < grid.macs_rows; ++m) {
      for (int64_t piece = to.begin; piece < to.end; piece += kPiece) {
        for (const Grid::Shift& shift : shifts) {
          if (shift.params > p || shift.macs > m) continue;
          const int64_t begin = std::max(piece, from.begin + shift.bins);
          const int64_t end = std::min({piece + kPiece, from.end + shift.bins, limit, grid.bins});
          if (begin >= end) continue;
          const size_t target = grid.Cell({begin, p, m});
          const size_t source = target - grid.Cell(shift);
          AddRow(from.value.data() + source, to.value.data() + target, end - begin);
          if (!to.low.empty()) {
            AddRow(from.low.data() + source, to.low.data() + target, end - begin);
          }
        }
      }
    }
  }
}

Uint128 ExactCount(double value, uint64_t low) {
  const double high = std::nearbyint((value - static_cast<double>(low)) * 0x1p-64);
  return (static_cast<Uint128>(std::max(high, 0.0)) << 64) + low;
}

}  // namespace lathe::space
