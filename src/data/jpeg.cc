#include "data/decode.h"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <string_view>

// After <cstdio>, which jpeglib.h needs and does not include.
#include <jerror.h>
#include <jpeglib.h>

#include "base/error.h"
#include "data/exif.h"

namespace lathe::data {
namespace {

namespace fs = std::filesystem;

constexpr int kApp1 = JPEG_APP0 + 1;

// libjpeg reports through these callbacks and may not be left by an exception, hence longjmp.
struct JpegErrors {
  jpeg_error_mgr manager;  // first: libjpeg hands its address back
  std::jmp_buf jump;
  bool truncated = false;
  std::array<char, JMSG_LENGTH_MAX> message{};
};

JpegErrors& Errors(j_common_ptr info) { return *reinterpret_cast<JpegErrors*>(info->err); }

[[noreturn]] void OnJpegError(j_common_ptr info) {
  JpegErrors& errors = Errors(info);
  info->err->format_message(info, errors.message.data());
  std::longjmp(errors.jump, 1);
}

// Warnings are common in good photographs (stray bytes, odd markers); a missing end is not.
void OnJpegMessage(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) Errors(info).truncated = true;
}

struct JpegDecoder {
  jpeg_decompress_struct info{};
  JpegErrors errors{};
  JpegDecoder() = default;
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&info); }
};

// Of several APP1 markers (XMP is one, too) the one with EXIF data.
int Orientation(const jpeg_decompress_struct& info) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (marker->marker == kApp1 && data.starts_with(kExif)) {
      return ExifOrientation(data.substr(kExif.size()));
    }
  }
  return 1;
}

// Everything that may longjmp: no object with a destructor lives in this frame.
bool RunJpeg(JpegDecoder& decoder, std::string_view bytes, int min_side, Image& image,
             int& orientation) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.errors.jump) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&info, kApp1, 0xffff);
  jpeg_read_header(&info, TRUE);
  orientation = Orientation(info);
  if (int64_t{info.image_width} * int64_t{info.image_height} > kMostPixels) {
    ERREXIT1(&info, JERR_IMAGE_TOO_BIG, static_cast<unsigned>(JPEG_MAX_DIMENSION));
  }
  info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_RGB;
  info.scale_denom = 8;
  for (info.scale_num = min_side > 0 ? 1 : 8; info.scale_num < 8; info.scale_num *= 2) {
    jpeg_calc_output_dimensions(&info);
    const JDIMENSION side = std::min(info.output_width, info.output_height);
    if (static_cast<int>(side) >= min_side) break;
  }
  jpeg_start_decompress(&info);
  image.h = static_cast<int>(info.output_height);
  image.w = static_cast<int>(info.output_width);
  image.c = info.output_components;
  const size_t stride = static_cast<size_t>(image.w) * static_cast<size_t>(image.c);
  image.pixels.resize(static_cast<size_t>(image.h) * stride);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = image.pixels.data() + info.output_scanline * stride;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

// `inverted`: as Adobe's programs write it.
void CmykToRgb(Image& image, bool inverted) {
  const size_t count = image.pixels.size() / 4;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* in = &image.pixels[4 * i];
    const int k = inverted ? in[3] : 255 - in[3];
    for (size_t c = 0; c < 3; ++c) {
      const int ink = inverted ? in[c] : 255 - in[c];
      image.pixels[3 * i + c] = static_cast<uint8_t>((ink * k + 127) / 255);
    }
  }
  image.pixels.resize(3 * count);
  image.c = 3;
}

}  // namespace

void DecodeJpeg(std::string_view bytes, int min_side, const fs::path& path, Image& image,
                int& orientation) {
  JpegDecoder decoder;
  decoder.info.err = jpeg_std_error(&decoder.errors.manager);
  decoder.errors.manager.error_exit = OnJpegError;
  decoder.errors.manager.emit_message = OnJpegMessage;
  if (!RunJpeg(decoder, bytes, min_side, image, orientation)) {
    throw Error(ErrorKind::kInput, "{}: not a readable JPEG: {}", Shown(path),
                decoder.errors.message.data());
  }
  if (decoder.errors.truncated) {
    throw Error(ErrorKind::kInput, "{}: truncated JPEG: the file ends inside the picture",
                Shown(path));
  }
  if (image.c == 4) CmykToRgb(image, decoder.info.saw_Adobe_marker != 0);
}

}  // namespace lathe::data
