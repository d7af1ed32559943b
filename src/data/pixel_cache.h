// Which prepared pictures are kept on disk, within which limits, and who makes them. Decoding a
// photograph takes longer than to crop, augment and often to train on it; the kernel's page cache
// keeps in memory what fits. Private to this module.
#pragma once

#include <memory>

#include "data/geometry.h"
#include "data/pixel_file.h"

namespace lathe::data {

// All pictures of `dataset` prepared, from the data set's cache folder, made first if need be (on
// all cores; of several processes one makes them and the others wait). Nothing where the pictures
// lie in memory, are not to be kept, or would take more than the limit or half of the free disk;
// then they are to be decoded each time. Throws what reading a picture throws.
std::unique_ptr<const PixelFile> OpenPixels(const Dataset& dataset, const Preparation& preparation);

// Of the files of all pictures, whatever is done to them.
uint64_t Fingerprint(const Dataset& dataset);

}  // namespace lathe::data
