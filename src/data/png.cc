#include <spng.h>

#include <memory>

#include "base/error.h"
#include "data/decode.h"
#include "data/exif.h"

namespace lathe::data {

void DecodePng(std::string_view bytes, const std::filesystem::path& path, Image& image,
               int& orientation) {
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> context(spng_ctx_new(0), spng_ctx_free);
  const auto check = [&](int code) {
    if (code == 0) return;
    throw Error(ErrorKind::kInput, "{}: not a readable PNG: {}", Shown(path), spng_strerror(code));
  };
  spng_ihdr header{};
  size_t size = 0;
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()));
  check(spng_get_ihdr(context.get(), &header));
  if (int64_t{header.width} * int64_t{header.height} > kMostPixels) {
    throw Error(ErrorKind::kInput, "{}: {} x {} px are too many", Shown(path), header.width,
                header.height);
  }
  check(spng_decoded_image_size(context.get(), SPNG_FMT_RGB8, &size));
  image.h = static_cast<int>(header.height);
  image.w = static_cast<int>(header.width);
  image.c = 3;
  image.pixels.resize(size);
  check(spng_decode_image(context.get(), image.pixels.data(), size, SPNG_FMT_RGB8, 0));
  spng_exif exif{};
  if (spng_get_exif(context.get(), &exif) == 0) {
    orientation = ExifOrientation({exif.data, exif.length});
  }
}

}  // namespace lathe::data
