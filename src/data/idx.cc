#include <zlib.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/error.h"
#include "data/dataset.h"
#include "data/in_memory.h"

namespace lathe::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHint =
    "Fashion-MNIST comes with `apt-get install dataset-fashion-mnist`";

// Reads a file front to back, gunzipping it when it is gzipped.
class GzReader {
 public:
  explicit GzReader(const fs::path& path) : path_(path) {
    if (!fs::exists(path)) {
      throw Error(ErrorKind::kInput, "{}: no such file; {}", path.string(), kHint);
    }
    file_ = gzopen(path.c_str(), "rb");
    if (file_ == nullptr || fs::is_directory(path)) {
      if (file_ != nullptr) gzclose(file_);
      throw Error(ErrorKind::kInput, "{}: cannot be read", path.string());
    }
    gzbuffer(file_, 1 << 18);
  }
  ~GzReader() { gzclose(file_); }
  GzReader(const GzReader&) = delete;
  GzReader& operator=(const GzReader&) = delete;

  // Up to `size` bytes; fewer only at the end of the file.
  size_t Read(uint8_t* out, size_t size) {
    size_t done = 0;
    while (done < size) {
      const auto step = static_cast<unsigned>(std::min<size_t>(size - done, 1 << 24));
      const int got = gzread(file_, out + done, step);
      int code = Z_OK;
      const char* reason = gzerror(file_, &code);
      if (code != Z_OK && code != Z_STREAM_END) {
        throw Error(ErrorKind::kInput,
                    "{}: damaged or truncated gzip file after {} bytes of content ({}); fetch it "
                    "again",
                    path_.string(), total_ + done, reason);
      }
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    total_ += done;
    return done;
  }

 private:
  fs::path path_;
  gzFile file_ = nullptr;
  size_t total_ = 0;
};

struct IdxFile {
  std::vector<uint32_t> sizes;  // of every dimension
  std::vector<uint8_t> bytes;
};

// IDX: two zero bytes, the element type (8: unsigned byte), the number of dimensions, their sizes
// as big-endian 32-bit integers, then the elements. http://yann.lecun.com/exdb/mnist
IdxFile ReadIdx(const fs::path& path, int dimensions, std::string_view what) {
  GzReader reader(path);
  std::array<uint8_t, 4> magic{};
  const size_t magic_size = reader.Read(magic.data(), magic.size());
  if (magic_size < magic.size() || magic[0] != 0 || magic[1] != 0 || magic[2] != 8 ||
      magic[3] != dimensions) {
    throw Error(ErrorKind::kInput,
                "{}: not an IDX file of {}: expected magic 0x0000080{}, found 0x{:02x}",
                path.string(), what, dimensions, fmt::join(std::span(magic).first(magic_size), ""));
  }
  IdxFile file;
  uint64_t total = 1;
  for (int i = 0; i < dimensions; ++i) {
    std::array<uint8_t, 4> b{};
    if (reader.Read(b.data(), b.size()) < b.size()) {
      throw Error(ErrorKind::kInput, "{}: ends inside its header", path.string());
    }
    const uint32_t size = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
    file.sizes.push_back(size);
    total *= size;
    if (size == 0 || total > (uint64_t{1} << 36)) {
      throw Error(ErrorKind::kInput, "{}: its header has an impossible size ({})", path.string(),
                  fmt::join(file.sizes, " x "));
    }
  }
  // In steps, so that a wrong header cannot ask for more memory than the file fills.
  while (file.bytes.size() < total) {
    const size_t before = file.bytes.size();
    const size_t step = std::min<size_t>(total - before, size_t{1} << 26);
    file.bytes.resize(before + step);
    const size_t got = reader.Read(file.bytes.data() + before, step);
    if (got < step) {
      throw Error(ErrorKind::kInput,
                  "{}: truncated: its header promises {} bytes of content ({}), found {}",
                  path.string(), total, fmt::join(file.sizes, " x "), before + got);
    }
  }
  uint8_t extra = 0;
  if (reader.Read(&extra, 1) != 0) {
    throw Error(ErrorKind::kInput,
                "{}: has more content than the {} bytes its header promises ({})", path.string(),
                total, fmt::join(file.sizes, " x "));
  }
  return file;
}

}  // namespace

std::shared_ptr<const Dataset> OpenIdx(const fs::path& images, const fs::path& labels,
                                       std::vector<std::string> class_names) {
  IdxFile pixels = ReadIdx(images, 3, "images");
  const IdxFile classes = ReadIdx(labels, 1, "labels");
  if (pixels.sizes[0] != classes.sizes[0]) {
    throw Error(ErrorKind::kInput, "{} has {} images but {} has {} labels", images.string(),
                pixels.sizes[0], labels.string(), classes.sizes[0]);
  }
  InMemoryImages content;
  content.h = static_cast<int>(pixels.sizes[1]);
  content.w = static_cast<int>(pixels.sizes[2]);
  content.c = 1;
  content.pixels = std::move(pixels.bytes);
  content.labels.assign(classes.bytes.begin(), classes.bytes.end());
  content.class_names = std::move(class_names);
  return MakeInMemory(std::move(content), labels);
}

}  // namespace lathe::data
