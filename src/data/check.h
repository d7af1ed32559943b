// Reads every picture once, so that a bad file is known before hours of training and not after.
// Private to this module.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/scan.h"

namespace lathe::data {

struct Unreadable {
  size_t folder = 0, file = 0;  // index in `folders` and in its files
  std::string message;          // names the file
};

// Decodes what was not found readable by an earlier call with this cache, on all cores. In the
// order of the folders.
std::vector<Unreadable> FindUnreadable(const std::vector<PictureFolder>& folders,
                                       const CacheOptions& cache);

}  // namespace lathe::data
