// JPEG and PNG files to RGB pixels. Private to this module. Thread-safe.
#pragma once

#include <filesystem>
#include <string_view>

#include "data/dataset.h"

namespace lathe::data {

// Told apart by content, not by name. Grey, palette and alpha images become RGB (alpha is dropped),
// JPEGs in CMYK too. JPEGs are decoded at the smallest of 1/8, 1/4, 1/2 and full size whose shorter
// side is at least `min_side` (0: full). Throws kInput naming `path` for anything unreadable.
Image DecodeImage(std::string_view bytes, int min_side, const std::filesystem::path& path);

}  // namespace lathe::data
