#include "data/cache_folder.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

namespace lathe::data {
namespace {

int OpenLockFile(const std::filesystem::path& path) {
  return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
}

}  // namespace

ProcessLock::ProcessLock(const std::filesystem::path& path, std::string_view waiting)
    : fd_(OpenLockFile(path)) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  bool said = false;
  while (fd_ >= 0) {
    held_ = flock(fd_, LOCK_EX | LOCK_NB) == 0;
    if (held_ || (errno != EWOULDBLOCK && errno != EINTR)) break;
    if (!said && Clock::now() - start > std::chrono::seconds(1)) {
      spdlog::info("{}", waiting);
      said = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::optional<ProcessLock> ProcessLock::TryNow(const std::filesystem::path& path) {
  ProcessLock lock(OpenLockFile(path));
  lock.held_ = lock.fd_ >= 0 && flock(lock.fd_, LOCK_EX | LOCK_NB) == 0;
  if (!lock.held_) return {};
  return lock;
}

ProcessLock::ProcessLock(ProcessLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), held_(other.held_) {}

ProcessLock::~ProcessLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace lathe::data
