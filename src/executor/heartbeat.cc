#include "executor/heartbeat.h"

#include <system_error>

namespace lathe::executor {

namespace fs = std::filesystem;

Heartbeat::Heartbeat(const fs::path& folder) : folder_(folder), seen_(Stamps()) {}

double Heartbeat::SilentSeconds() {
  const auto now = std::chrono::steady_clock::now();
  if (const std::array<Stamp, 2> stamps = Stamps(); stamps != seen_) {
    seen_ = stamps;
    changed_ = now;
  }
  return std::chrono::duration<double>(now - changed_).count();
}

std::array<Heartbeat::Stamp, 2> Heartbeat::Stamps() const {
  const auto stamp = [&](const char* name) {
    std::error_code missing;
    const fs::file_time_type time = fs::last_write_time(folder_ / name, missing);
    const uintmax_t size = fs::file_size(folder_ / name, missing);
    return missing ? Stamp() : Stamp(time, size);
  };
  return {stamp("progress.json"), stamp("metrics.jsonl")};
}

}  // namespace lathe::executor
