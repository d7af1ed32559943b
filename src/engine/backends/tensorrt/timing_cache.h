// TensorRT's timing cache: how long the kernels took that earlier builds tried out, so that later
// ones need not try them again. One file per TensorRT version and GPU, in the user's cache folder;
// trtexec itself locks it and merges into it. A help, never a condition: without it builds only
// take longer.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::engine {

class TimingCache {
 public:
  TimingCache() = default;  // none
  // In $XDG_CACHE_HOME/lathe, or ~/.cache/lathe. When that cannot be written, there is none; a
  // warning says so.
  TimingCache(std::string_view tensorrt_version, std::string_view gpu_name);

  const std::filesystem::path& path() const { return path_; }  // empty: none
  // For trtexec: "--timingCacheFile=PATH", or nothing.
  std::vector<std::string> Flags() const;
  // Removes the file, which no build goes through with, and says so.
  void Discard() const;

 private:
  std::filesystem::path path_;
};

}  // namespace lathe::engine
