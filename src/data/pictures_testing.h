// For tests: JPEG and PNG files of given pixels.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

// After <cstdio>, which jpeglib.h needs and does not include.
#include <jpeglib.h>
#include <spng.h>

namespace lathe::data {

struct JpegOptions {
  int h = 0, w = 0;
  J_COLOR_SPACE space = JCS_RGB;
  std::string app1 = {};  // content of an APP1 marker
  bool progressive = false;
  std::function<int(int, int, int)> value;  // of (x, y, channel)
};

inline std::string EncodeJpeg(const JpegOptions& options) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = static_cast<JDIMENSION>(options.w);
  info.image_height = static_cast<JDIMENSION>(options.h);
  info.input_components = options.space == JCS_GRAYSCALE ? 1 : options.space == JCS_CMYK ? 4 : 3;
  info.in_color_space = options.space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 98, TRUE);
  if (options.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  if (!options.app1.empty()) {
    jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(options.app1.data()),
                      static_cast<unsigned>(options.app1.size()));
  }
  std::vector<uint8_t> row(static_cast<size_t>(options.w * info.input_components));
  for (int y = 0; y < options.h; ++y) {
    for (size_t i = 0; i < row.size(); ++i) {
      const int x = static_cast<int>(i) / info.input_components;
      row[i] =
          static_cast<uint8_t>(options.value(x, y, static_cast<int>(i) % info.input_components));
    }
    JSAMPROW line = row.data();
    jpeg_write_scanlines(&info, &line, 1);
  }
  jpeg_finish_compress(&info);
  std::string text(reinterpret_cast<char*>(out), size);
  jpeg_destroy_compress(&info);
  std::free(out);
  return text;
}

// A picture of one colour: `value`, and 200 in red unless it is grey.
inline std::string EncodeJpeg(int h, int w, int channels, uint8_t value) {
  return EncodeJpeg(
      {.h = h,
       .w = w,
       .space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB,
       .value = [&](int, int, int c) { return channels == 3 && c == 0 ? 200 : value; }});
}

struct PngOptions {
  int h = 0, w = 0;
  spng_color_type type = SPNG_COLOR_TYPE_TRUECOLOR;
  int depth = 8;
  std::vector<uint8_t> bytes;  // as in the file, 16-bit numbers in this machine's order
  std::string exif = {};
};

inline std::string EncodePng(const PngOptions& options) {
  spng_ctx* context = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
  spng_ihdr header{};
  header.width = static_cast<uint32_t>(options.w);
  header.height = static_cast<uint32_t>(options.h);
  header.bit_depth = static_cast<uint8_t>(options.depth);
  header.color_type = static_cast<uint8_t>(options.type);
  spng_set_ihdr(context, &header);
  if (options.type == SPNG_COLOR_TYPE_INDEXED) {
    spng_plte palette{};
    palette.n_entries = 3;
    for (uint8_t i = 0; i < 3; ++i) {
      palette.entries[i] = {static_cast<uint8_t>(10 * i), static_cast<uint8_t>(20 * i), 77, 255};
    }
    spng_set_plte(context, &palette);
  }
  spng_exif exif{};
  std::string data = options.exif;
  if (!data.empty()) {
    exif.data = data.data();
    exif.length = data.size();
    spng_set_exif(context, &exif);
  }
  EXPECT_EQ(spng_encode_image(context, options.bytes.data(), options.bytes.size(), SPNG_FMT_PNG,
                              SPNG_ENCODE_FINALIZE),
            0);
  size_t size = 0;
  int error = 0;
  void* out = spng_get_png_buffer(context, &size, &error);
  std::string text(static_cast<char*>(out), size);
  std::free(out);
  spng_ctx_free(context);
  return text;
}

// Channel c of every pixel is 40 (c + 1).
inline std::string EncodePng(int h, int w, spng_color_type type, size_t channels) {
  PngOptions options{.h = h, .w = w, .type = type, .bytes = {}};
  options.bytes.resize(static_cast<size_t>(h) * static_cast<size_t>(w) * channels);
  for (size_t i = 0; i < options.bytes.size(); ++i) {
    options.bytes[i] = static_cast<uint8_t>(40 * (i % channels + 1));
  }
  return EncodePng(options);
}

}  // namespace lathe::data
