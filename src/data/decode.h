// JPEG and PNG files to upright RGB pixels. Private to this module. Thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/dataset.h"

namespace lathe::data {

// Told apart by content, not by name. Grey, palette, 16-bit and CMYK pictures become 8-bit RGB;
// alpha is dropped, as by Pillow's convert("RGB"), which other trainers use. Pictures are turned as
// their EXIF orientation asks. JPEGs are decoded at the smallest of 1/8, 1/4, 1/2 and full size
// whose shorter side is at least `min_side` (0: full). Throws kInput naming `path` for anything
// unreadable.
void DecodeImage(std::string_view bytes, int min_side, const std::filesystem::path& path,
                 Image& image);

// The whole file; throws kInput naming it when it cannot be read.
std::string ReadPicture(const std::filesystem::path& path);

// For the decoders: pixels as they are stored, and the EXIF orientation (1: upright).
void DecodeJpeg(std::string_view bytes, int min_side, const std::filesystem::path& path,
                Image& image, int& orientation);
void DecodePng(std::string_view bytes, const std::filesystem::path& path, Image& image,
               int& orientation);

// A path for messages: what does not print, or is no UTF-8, as \xNN.
std::string Shown(const std::filesystem::path& path);
bool IsPrintable(std::string_view text);

inline constexpr int64_t kMostPixels = int64_t{1} << 28;  // a header alone must not fill the memory

}  // namespace lathe::data
