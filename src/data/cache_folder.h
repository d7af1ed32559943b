// The folder of caches and how processes share it: locks that die with their holder. Nothing in it
// is needed; whatever cannot be read or written there is done without. Private to this module.
#pragma once

#include <filesystem>
#include <optional>

namespace lathe::data {

// An exclusive advisory lock on a file that is made for it; released when the process dies. Also
// excludes a second lock in this process.
class ProcessLock {
 public:
  // Waits for another holder; `waiting` is logged if that takes longer than a second. Where locks
  // do not work (some network file systems) it is as if nobody else were there.
  ProcessLock(const std::filesystem::path& path, std::string_view waiting);
  // Nothing if somebody holds it.
  static std::optional<ProcessLock> TryNow(const std::filesystem::path& path);
  bool held() const { return held_; }  // false where locks do not work
  ProcessLock(ProcessLock&& other) noexcept;
  ProcessLock& operator=(ProcessLock&&) = delete;
  ~ProcessLock();

 private:
  explicit ProcessLock(int fd) : fd_(fd) {}
  int fd_ = -1;
  bool held_ = false;
};

}  // namespace lathe::data
