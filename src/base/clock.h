// The time of day, for what is written down. Durations are for std::chrono::steady_clock: this one
// may be set back.
#pragma once

#include <chrono>

namespace lathe {

// Seconds since 1970.
inline double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace lathe
