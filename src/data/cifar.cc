#include "base/error.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/in_memory.h"

namespace lathe::data {
namespace {

constexpr int kSide = 32;
constexpr size_t kPlane = kSide * kSide;
constexpr size_t kPixels = 3 * kPlane;

// A record is one label byte (CIFAR-100: coarse, then fine), then the red, green and blue planes.
size_t LabelBytes(const fs::path& path, size_t size, size_t classes) {
  const bool ten = size % (1 + kPixels) == 0, hundred = size % (2 + kPixels) == 0;
  if (size == 0 || (!ten && !hundred)) {
    throw Error(ErrorKind::kInput,
                "{}: {} bytes are no whole number of CIFAR-10 ({} bytes) or CIFAR-100 ({} bytes) "
                "records; truncated, or not a binary CIFAR file",
                path.string(), size, 1 + kPixels, 2 + kPixels);
  }
  if (ten && hundred) return classes > 10 ? 2 : 1;
  return ten ? 1 : 2;
}

}  // namespace

std::shared_ptr<const Dataset> OpenCifar(const std::vector<fs::path>& files,
                                         std::vector<std::string> class_names) {
  if (files.empty()) throw Error(ErrorKind::kInput, "no CIFAR files given");
  InMemoryImages images;
  images.h = images.w = kSide;
  images.c = 3;
  for (const fs::path& path : files) {
    const std::string bytes = ReadFile(path);
    const size_t label_bytes = LabelBytes(path, bytes.size(), class_names.size());
    for (size_t at = 0; at < bytes.size(); at += label_bytes + kPixels) {
      images.labels.push_back(static_cast<uint8_t>(bytes[at + label_bytes - 1]));
      const char* planes = bytes.data() + at + label_bytes;
      const size_t begin = images.pixels.size();
      images.pixels.resize(begin + kPixels);
      uint8_t* out = images.pixels.data() + begin;
      for (size_t i = 0; i < kPlane; ++i) {
        for (size_t c = 0; c < 3; ++c) *out++ = static_cast<uint8_t>(planes[c * kPlane + i]);
      }
    }
  }
  images.class_names = std::move(class_names);
  return MakeInMemory(std::move(images), files.front());
}

}  // namespace lathe::data
