// File descriptors for the sources of this module; not for others.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

namespace lathe {

// Owns an open file descriptor, or none (-1).
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Descriptor() { Close(); }

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Close() { return fd_ >= 0 ? close(std::exchange(fd_, -1)) : 0; }  // as close(2)
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Opens for writing with O_CLOEXEC and `flags`; a missing parent folder is made. On failure the
// descriptor is not ok() and errno is set.
Descriptor OpenToWrite(const std::filesystem::path& path, int flags);

}  // namespace lathe
