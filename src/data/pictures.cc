#include "data/pictures.h"

#include "base/error.h"
#include "data/colour.h"
#include "data/decode.h"

namespace lathe::data {
namespace {

class Pictures final : public Dataset {
 public:
  Pictures(std::vector<std::filesystem::path> files, int channels)
      : files_(std::move(files)), channels_(channels) {}

  int64_t size() const override { return std::ssize(files_); }
  int channels() const override { return channels_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int Label(int64_t /*index*/) const override { return 0; }
  std::string Name(int64_t index) const override { return File(index).string(); }

  Image Load(int64_t index, int min_side) const override {
    Image image;
    DecodeImage(ReadPicture(File(index)), min_side, File(index), image);
    return channels_ == 1 ? GreyOf(image) : image;
  }

 private:
  const std::filesystem::path& File(int64_t index) const {
    return files_[static_cast<size_t>(index)];
  }

  static Image GreyOf(const Image& rgb) {
    Image grey{.h = rgb.h, .w = rgb.w, .c = 1, .pixels = {}};
    grey.pixels.reserve(rgb.pixels.size() / 3);
    for (size_t i = 0; i < rgb.pixels.size(); i += 3)
      grey.pixels.push_back(static_cast<uint8_t>(Grey(&rgb.pixels[i])));
    return grey;
  }

  const std::vector<std::filesystem::path> files_;
  const int channels_;
  const std::vector<std::string> class_names_;
};

}  // namespace

std::shared_ptr<const Dataset> OpenPictures(std::vector<std::filesystem::path> files,
                                            int channels) {
  if (channels != 1 && channels != 3) {
    throw Error(ErrorKind::kInput, "pictures have 1 or 3 channels, not {}", channels);
  }
  return std::make_shared<Pictures>(std::move(files), channels);
}

}  // namespace lathe::data
