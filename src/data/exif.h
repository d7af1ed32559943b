// The orientation of a photograph, from its EXIF data. Private to this module. Thread-safe.
#pragma once

#include <string_view>

#include "data/dataset.h"

namespace lathe::data {

// Reads tag 0x0112 of the first directory of `tiff`, a TIFF structure as in a JPEG's APP1 marker
// behind "Exif\0\0" and in a PNG's eXIf chunk. 1 (upright) where it is missing or damaged.
int ExifOrientation(std::string_view tiff);

// Turns and mirrors the pixels so that the picture stands upright (EXIF 2.32, orientations 1-8).
void MakeUpright(int orientation, Image& image);

}  // namespace lathe::data
