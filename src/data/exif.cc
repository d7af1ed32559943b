#include "data/exif.h"

#include <opencv2/core.hpp>

#include "data/geometry.h"

namespace lathe::data {
namespace {

// Numbers in the byte order that the structure names; 0 for what lies outside it.
class TiffReader {
 public:
  explicit TiffReader(std::string_view bytes)
      : bytes_(bytes), big_endian_(bytes.starts_with("MM")) {}

  uint32_t Number(size_t at, size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t from = at + (big_endian_ ? i : size - 1 - i);
      value = value << 8 | static_cast<uint8_t>(bytes_[from]);
    }
    return value;
  }

 private:
  const std::string_view bytes_;
  const bool big_endian_;
};

}  // namespace

int ExifOrientation(std::string_view tiff) {
  constexpr uint32_t kOrientation = 0x0112, kShort = 3;
  constexpr size_t kEntryBytes = 12;
  const TiffReader reader(tiff);
  if (!tiff.starts_with("II") && !tiff.starts_with("MM")) return 1;
  if (reader.Number(2, 2) != 42) return 1;
  const size_t directory = reader.Number(4, 4), entries = reader.Number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (entry >= tiff.size()) break;
    if (reader.Number(entry, 2) != kOrientation || reader.Number(entry + 2, 2) != kShort) continue;
    const uint32_t value = reader.Number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

void MakeUpright(int orientation, Image& image) {
  if (orientation <= 1 || orientation > 8) return;
  cv::Mat picture = AsMat(image).clone();
  if (orientation >= 5) cv::transpose(AsMat(image), picture);
  // What is left after the transposition: 1 mirrors left and right, 0 up and down, -1 both.
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(picture, picture, 1);
      break;
    case 3:
    case 7:
      cv::flip(picture, picture, -1);
      break;
    case 4:
    case 8:
      cv::flip(picture, picture, 0);
      break;
    default:
      break;
  }
  image.h = picture.rows;
  image.w = picture.cols;
  std::copy_n(picture.data, image.pixels.size(), image.pixels.data());
}

}  // namespace lathe::data
