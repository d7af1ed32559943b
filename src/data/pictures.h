// Picture files by their names, for those who want to know what is on them.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "data/dataset.h"

namespace lathe::data {

// Without labels (all are 0) and classes. `channels`: 3, or 1 for the greys that Pillow's
// convert("L") makes. Load() throws kInput naming a file that cannot be read.
std::shared_ptr<const Dataset> OpenPictures(std::vector<std::filesystem::path> files, int channels);

}  // namespace lathe::data
