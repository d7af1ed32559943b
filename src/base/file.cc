#include "base/file.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <utility>

#include "base/descriptor.h"
#include "base/error.h"

namespace lathe {
namespace {

[[noreturn]] void FailIo(std::string_view doing, const fs::path& path, int error) {
  throw Error(ErrorKind::kIo, "cannot {} {}: {}", doing, path.string(), Reason(error));
}

// Returns 0 or an errno.
int WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    content.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// Makes a rename survive a power failure. Not every file system can; that is no error.
void SyncFolder(const fs::path& folder) {
  const Descriptor descriptor(
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.ok()) fsync(descriptor.get());
}

}  // namespace

Descriptor OpenToWrite(const fs::path& path, int flags) {
  constexpr mode_t kMode = 0666;  // the umask decides
  const auto attempt = [&] { return open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, kMode); };
  Descriptor descriptor(attempt());
  if (!descriptor.ok() && errno == ENOENT && path.has_parent_path()) {
    MakeFolder(path.parent_path());
    descriptor = Descriptor(attempt());
  }
  return descriptor;
}

std::string ReadFile(const fs::path& path) {
  const auto fail = [&] {
    throw Error(ErrorKind::kInput, "cannot read {}: {}", path.string(), Reason(errno));
  };
  const Descriptor in(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!in.ok() || fstat(in.get(), &info) != 0) fail();

  // The size is only a hint: files in /proc have none, others may grow.
  constexpr size_t kChunk = 64 << 10;
  std::string content;
  size_t used = 0;
  content.resize(static_cast<size_t>(info.st_size) + 1);
  while (true) {
    if (used == content.size()) content.resize(used + std::max(kChunk, used / 2));
    const ssize_t got = read(in.get(), content.data() + used, content.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail();
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  content.resize(used);
  return content;
}

AtomicFile::AtomicFile(const fs::path& path) : path_(path), target_(path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (fs::is_directory(status)) FailIo("write", path, EISDIR);
  // A pipe or device (--out /dev/stdout) must be written to, not replaced by a file.
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    fd_ = OpenToWrite(path, 0).Release();
    if (fd_ < 0) FailIo("write", path, errno);
    return;
  }
  if (fs::is_symlink(path, ignored)) target_ = fs::weakly_canonical(path);

  // The process id alone is not unique in a folder that several machines share, hence O_EXCL.
  static std::atomic<uint64_t> counter{0};
  do {
    const std::string name =
        fmt::format(".{}.tmp-{}-{}", target_.filename().string(), getpid(), counter.fetch_add(1));
    temporary_ = target_.parent_path() / name;
    fd_ = OpenToWrite(temporary_, O_CREAT | O_EXCL).Release();
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) FailIo("write", path, errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::Fail(int error) { FailIo("write", path_, error); }

void AtomicFile::Write(std::string_view content) {
  if (const int error = WriteAll(fd_, content); error != 0) Fail(error);
}

void AtomicFile::Commit() {
  if (!temporary_.empty() && fsync(fd_) != 0) Fail(errno);
  const bool replaces = !temporary_.empty();
  Rename();
  if (replaces) SyncFolder(target_.parent_path());
}

void AtomicFile::Rename() {
  if (close(std::exchange(fd_, -1)) != 0) Fail(errno);
  if (temporary_.empty()) return;
  if (rename(temporary_.c_str(), target_.c_str()) != 0) Fail(errno);
  temporary_.clear();
}

void WriteFileAtomically(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.Write(content);
  file.Commit();
}

void WriteFileQuickly(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.Write(content);
  file.Rename();
}

void AppendLine(const fs::path& path, std::string_view line) {
  AppendBytes(path, std::string(line) + '\n');
}

void AppendBytes(const fs::path& path, std::string_view bytes) {
  const Descriptor out = OpenToWrite(path, O_CREAT | O_APPEND);
  struct stat before {};
  if (!out.ok() || fstat(out.get(), &before) != 0) FailIo("append to", path, errno);
  const int error = WriteAll(out.get(), bytes);
  if (error != 0) {
    // Half a line (the disk filled up within it) would spoil the next one, too.
    if (S_ISREG(before.st_mode) && ftruncate(out.get(), before.st_size) != 0) {
      FailIo("take back what was half appended to", path, errno);
    }
    FailIo("append to", path, error);
  }
}

std::string Reason(int error) { return std::generic_category().message(error); }

fs::path UserCacheFolder() {
  // The standard says that a relative path is to be ignored.
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && fs::path(cache).is_absolute()) return fs::path(cache) / "lathe";
  const char* const home = std::getenv("HOME");
  if (home != nullptr && fs::path(home).is_absolute()) return fs::path(home) / ".cache/lathe";
  return {};
}

void MakeFolder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) FailIo("make folder", path, error.value());
  if (!fs::is_directory(path, error)) FailIo("make folder", path, ENOTDIR);
}

FileLock::FileLock(const fs::path& path, std::string_view busy_message) {
  // flock belongs to the open file, so it also excludes a second FileLock in this process; children
  // do not inherit it, because the descriptor closes on exec.
  Descriptor file = OpenToWrite(path, O_CREAT);
  if (!file.ok()) FailIo("open lock file", path, errno);
  int tries = 5;  // someone may only be asking: IsLocked()
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) FailIo("lock", path, errno);
    if (--tries == 0) throw Error(ErrorKind::kInput, std::string(busy_message));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  fd_ = file.Release();
}

FileLock::~FileLock() { close(fd_); }

bool IsLocked(const fs::path& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.ok() && flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  uint64_t hash = seed;
  for (unsigned char c : bytes) hash = (hash ^ c) * 0x100000001b3ULL;
  return hash;
}

}  // namespace lathe
