#include "engine/backends/tensorrt/timing_cache.h"

#include <stdlib.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace lathe::engine {
namespace {

// "tensorrt-8601-NVIDIA-A100-80GB-PCIe-3f2a90c1.timing": readable, and the hash tells apart what
// looks alike without its punctuation.
std::string FileName(std::string_view version, std::string_view gpu) {
  const std::string key = fmt::format("{}-{}", version, gpu);
  std::string readable = key;
  for (char& c : readable) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.') c = '-';
  }
  constexpr uint64_t kDigits = 0xffffffff;
  return fmt::format("tensorrt-{}-{:08x}.timing", readable, HashBytes(key) & kDigits);
}

// Why trtexec could not keep `path`; empty when it can.
std::string Obstacle(const fs::path& path) {
  if (path.empty()) return "neither XDG_CACHE_HOME nor HOME is set";
  try {
    MakeFolder(path.parent_path());
  } catch (const Error& error) {
    return error.what();
  }
  // trtexec puts a lock file beside it, so the folder must be writable too.
  if (access(path.parent_path().c_str(), W_OK | X_OK) != 0) {
    return fmt::format("{}: {}", path.parent_path().string(), std::strerror(errno));
  }
  if (!fs::exists(path)) return "";
  if (!fs::is_regular_file(path)) return path.string() + " is not a file";
  if (access(path.c_str(), R_OK | W_OK) != 0) {
    return fmt::format("{}: {}", path.string(), std::strerror(errno));
  }
  return "";
}

}  // namespace

TimingCache::TimingCache(std::string_view tensorrt_version, std::string_view gpu_name) {
  const fs::path folder = UserCacheFolder();
  if (!folder.empty()) path_ = folder / FileName(tensorrt_version, gpu_name);
  if (const std::string obstacle = Obstacle(path_); !obstacle.empty()) {
    spdlog::warn("engine tensorrt: no timing cache, so builds take longer: {}", obstacle);
    path_.clear();
  }
}

std::vector<std::string> TimingCache::Flags() const {
  if (path_.empty()) return {};
  return {"--timingCacheFile=" + path_.string()};
}

void TimingCache::Discard() const {
  std::error_code error;
  fs::remove(path_, error);
  spdlog::warn(
      "engine tensorrt: a build failed with the timing cache {} and went through without it; {}",
      path_.string(), error ? "it cannot be removed: " + error.message() : "removed that file");
}

}  // namespace lathe::engine
