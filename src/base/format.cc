// The text helpers of log.h: durations and counts for people.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/log.h"

namespace lathe {

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

}  // namespace lathe
