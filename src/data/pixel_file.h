// A file of prepared pictures that is mapped into memory: written once, whole, then only read, by
// any number of processes. Private to this module. Thread-safe.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <vector>

#include "data/dataset.h"

namespace lathe::data {

// What a file has to be made for to be of use: `key` says which pictures, prepared how.
struct PixelFileId {
  uint64_t key = 0;
  int64_t count = 0;
};

class PixelFile {
 public:
  // Nothing if there is no such file, or one that is damaged, cut off, of another version or id.
  static std::unique_ptr<const PixelFile> Open(const std::filesystem::path& path,
                                               const PixelFileId& id);
  ~PixelFile();
  PixelFile(const PixelFile&) = delete;
  PixelFile& operator=(const PixelFile&) = delete;

  // Checked when first used: without pixels, and the file removed, if they are not what was
  // written.
  ImageView View(int64_t index) const;

  struct Entry {
    uint64_t offset = 0;
    uint32_t h = 0, w = 0, c = 0;
    uint32_t checksum = 0;
  };

 private:
  PixelFile() = default;

  std::filesystem::path path_;
  int fd_ = -1;  // holds a shared lock, which says that the file is in use
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  std::vector<Entry> entries_;
  mutable std::vector<std::atomic<bool>> checked_;
};

class PixelFileWriter {
 public:
  // Writes a file `path`.XXXXXX.part of its own. Throws kIo, here and below, with the system's
  // reason.
  PixelFileWriter(const std::filesystem::path& path, const PixelFileId& id);
  ~PixelFileWriter();  // removes what was not committed
  PixelFileWriter(const PixelFileWriter&) = delete;
  PixelFileWriter& operator=(const PixelFileWriter&) = delete;

  void Add(int64_t index, const ImageView& picture);  // from any thread
  int64_t bytes() const { return static_cast<int64_t>(end_.load()); }
  void Commit();  // once, last: renames

 private:
  void Write(const void* data, size_t size, uint64_t offset) const;

  const std::filesystem::path path_;
  const PixelFileId id_;
  std::filesystem::path part_;
  int fd_ = -1;
  std::vector<PixelFile::Entry> entries_;
  std::atomic<uint64_t> end_;
};

}  // namespace lathe::data
