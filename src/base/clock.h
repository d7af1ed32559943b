// The time of day, for what is written down, which may be set back; and durations, by a clock that
// is not.
#pragma once

#include <chrono>

namespace lathe {

// Seconds since 1970.
inline double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

inline double SecondsSince(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

}  // namespace lathe
