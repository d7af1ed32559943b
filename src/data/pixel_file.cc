#include "data/pixel_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "data/decode.h"

namespace lathe::data {
namespace {

// The version is part of the mark. Raise it, too, when decoding or resampling changes pixels.
constexpr std::array<char, 16> kMark{"lathe pixels 1"};

struct Header {
  std::array<char, 16> mark = kMark;
  uint64_t key = 0;
  int64_t count = 0;
  uint64_t size = 0;      // of the whole file
  uint64_t checksum = 0;  // of the entries
};

uint64_t EntryChecksum(const std::vector<PixelFile::Entry>& entries) {
  return HashBytes(
      {reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(PixelFile::Entry)});
}

// Against accidents; four lanes, since one would wait for its multiplications.
uint32_t Checksum(const ImageView& picture) {
  const size_t size = static_cast<size_t>(picture.h) * static_cast<size_t>(picture.w) *
                      static_cast<size_t>(picture.c);
  std::array<uint64_t, 4> lanes{1, 2, 3, 4};
  size_t at = 0;
  for (; at + sizeof(lanes) <= size; at += sizeof(lanes)) {
    std::array<uint64_t, 4> words;
    std::memcpy(words.data(), picture.pixels + at, sizeof(words));
    for (size_t i = 0; i < 4; ++i) lanes[i] = (lanes[i] ^ words[i]) * 0x9e3779b97f4a7c15ULL;
  }
  uint64_t sum = size;
  for (; at < size; ++at) sum = (sum ^ picture.pixels[at]) * 0x100000001b3ULL;
  for (const uint64_t lane : lanes) sum = (sum ^ (lane >> 29) ^ lane) * 0x9e3779b97f4a7c15ULL;
  return static_cast<uint32_t>(sum >> 32);
}

bool ReadAt(int fd, void* data, size_t size, uint64_t offset) {
  auto* out = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = pread(fd, out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<size_t>(got);
  }
  return true;
}

[[noreturn]] void FailIo(std::string_view doing, const fs::path& path) {
  throw Error(ErrorKind::kIo, "cannot {} {}: {}", doing, Shown(path), Reason(errno));
}

}  // namespace

std::unique_ptr<const PixelFile> PixelFile::Open(const fs::path& path, const PixelFileId& id) {
  std::unique_ptr<PixelFile> file(new PixelFile);
  file->path_ = path;
  file->fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (file->fd_ < 0 || fstat(file->fd_, &info) != 0) return nullptr;
  flock(file->fd_, LOCK_SH | LOCK_NB);
  file->size_ = static_cast<size_t>(info.st_size);

  Header header;
  const size_t table = static_cast<size_t>(id.count) * sizeof(Entry);
  if (!ReadAt(file->fd_, &header, sizeof(header), 0) || header.mark != kMark ||
      header.key != id.key || header.count != id.count || header.size != file->size_ ||
      file->size_ < sizeof(header) + table) {
    return nullptr;
  }
  file->entries_.resize(static_cast<size_t>(id.count));
  if (!ReadAt(file->fd_, file->entries_.data(), table, sizeof(header)) ||
      header.checksum != EntryChecksum(file->entries_)) {
    return nullptr;
  }
  void* bytes = mmap(nullptr, file->size_, PROT_READ, MAP_SHARED, file->fd_, 0);
  if (bytes == MAP_FAILED) return nullptr;
  file->bytes_ = static_cast<const uint8_t*>(bytes);
  file->checked_ = std::vector<std::atomic<bool>>(file->entries_.size());
  // Says when it was last needed, for those who want its room. Not everybody may.
  utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return file;
}

PixelFile::~PixelFile() {
  if (bytes_ != nullptr) munmap(const_cast<uint8_t*>(bytes_), size_);
  if (fd_ >= 0) close(fd_);
}

ImageView PixelFile::View(int64_t index) const {
  const Entry& entry = entries_[static_cast<size_t>(index)];
  const ImageView view(static_cast<int>(entry.h), static_cast<int>(entry.w),
                       static_cast<int>(entry.c), bytes_ + entry.offset);
  std::atomic<bool>& checked = checked_[static_cast<size_t>(index)];
  if (checked.load(std::memory_order_relaxed)) return view;
  if (Checksum(view) != entry.checksum) {
    if (unlink(path_.c_str()) == 0) {
      spdlog::warn("{}: damaged; removed, the next run makes it anew", Shown(path_));
    }
    return {};
  }
  checked.store(true, std::memory_order_relaxed);
  return view;
}

PixelFileWriter::PixelFileWriter(const fs::path& path, const PixelFileId& id)
    : path_(path),
      id_(id),
      entries_(static_cast<size_t>(id.count)),
      end_(sizeof(Header) + entries_.size() * sizeof(PixelFile::Entry)) {
  constexpr std::string_view kEnding = ".part";
  std::string name = path.native() + ".XXXXXX" + std::string(kEnding);
  fd_ = mkostemps(name.data(), static_cast<int>(kEnding.size()), O_CLOEXEC);
  part_ = name;
  if (fd_ < 0) FailIo("write", part_);
  fchmod(fd_, 0644);  // others may share the folder
}

PixelFileWriter::~PixelFileWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(part_.c_str());
}

void PixelFileWriter::Add(int64_t index, const ImageView& picture) {
  const size_t size = static_cast<size_t>(picture.h) * static_cast<size_t>(picture.w) *
                      static_cast<size_t>(picture.c);
  const uint64_t offset = end_.fetch_add(size);
  Write(picture.pixels, size, offset);
  entries_[static_cast<size_t>(index)] = {
      .offset = offset,
      .h = static_cast<uint32_t>(picture.h),
      .w = static_cast<uint32_t>(picture.w),
      .c = static_cast<uint32_t>(picture.c),
      .checksum = Checksum(picture),
  };
}

void PixelFileWriter::Write(const void* data, size_t size, uint64_t offset) const {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = pwrite(fd_, from, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) FailIo("write", part_);
    from += written;
    offset += static_cast<uint64_t>(written);
    size -= static_cast<size_t>(written);
  }
}

void PixelFileWriter::Commit() {
  const Header header{
      .key = id_.key, .count = id_.count, .size = end_, .checksum = EntryChecksum(entries_)};
  Write(&header, sizeof(header), 0);
  Write(entries_.data(), entries_.size() * sizeof(PixelFile::Entry), sizeof(header));
  // Else a crash of the machine might leave the name without the content.
  if (fsync(fd_) != 0) FailIo("write", part_);
  if (rename(part_.c_str(), path_.c_str()) != 0) FailIo("rename", part_);
  close(std::exchange(fd_, -1));
}

}  // namespace lathe::data
