// Files: whole reads, atomic writes, locks. Every file Lathe writes goes through
// WriteFileAtomically, so that a reader (or the same program after SIGKILL) sees the old content or
// the new, never half of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace lathe {

namespace fs = std::filesystem;

// Reads a whole file. Throws kInput naming the path when it is missing, a directory or unreadable.
std::string ReadFile(const fs::path& path);

// Writes to a temporary name beside `path`, fsyncs and renames. Creates missing parent folders.
// Throws kIo with the system's reason (for example "No space left on device"); the temporary file
// is removed and the old file stays. Follows links; a device or pipe is written to in place.
void WriteFileAtomically(const fs::path& path, std::string_view content);
// The same without fsync, for what can be made again: a killed process leaves the old content or
// the new as well, but a machine that loses power may leave nothing.
void WriteFileQuickly(const fs::path& path, std::string_view content);

// The same piece by piece, for content that should not be held at once: nothing of it is seen under
// its name before Commit(); without that, it is removed.
class AtomicFile {
 public:
  explicit AtomicFile(const fs::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void Write(std::string_view content);
  void Commit();  // once, last
  void Rename();  // instead: Commit() without fsync

 private:
  [[noreturn]] void Fail(int error);

  fs::path path_;       // as given, for messages
  fs::path target_;     // behind links
  fs::path temporary_;  // empty: written in place, or gone
  int fd_ = -1;
};

// Appends one line and flushes it to the kernel (a crash of the process loses nothing). Creates
// missing parent folders. Throws kIo; then no part of the line is left.
void AppendLine(const fs::path& path, std::string_view line);
void AppendBytes(const fs::path& path, std::string_view bytes);  // the same as they are

// mkdir -p; throws kIo with the reason.
void MakeFolder(const fs::path& path);

// The system's words for an errno: "No space left on device".
std::string Reason(int error);

// $XDG_CACHE_HOME/lathe, or ~/.cache/lathe; empty where the environment names none. Nothing in it
// is needed.
fs::path UserCacheFolder();

// An exclusive advisory lock on a file, released on destruction or when the process dies, however
// it dies. The file itself stays.
class FileLock {
 public:
  // Takes the lock or throws kInput with `busy_message` when another live process holds it.
  FileLock(const fs::path& path, std::string_view busy_message);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

// Whether another live process, or this one, holds the lock now. Takes it for an instant.
bool IsLocked(const fs::path& path);

// 64-bit content hash (FNV-1a) for fingerprints and cache names; not cryptographic.
uint64_t HashBytes(std::string_view bytes, uint64_t seed = 0xcbf29ce484222325ULL);

}  // namespace lathe
