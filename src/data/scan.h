// Which pictures a folder holds. Looks at names, sizes and times, not into the files. Private to
// this module.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lathe::data {

struct PictureFile {
  std::string name;  // in its class's folder
  int label = 0;
  uint64_t fingerprint = 0;  // of path, size and time of change
  std::string problem = {};  // why it cannot even be opened: a dangling link, a pipe; else empty
};

struct PictureFolder {
  std::filesystem::path path;
  std::vector<std::string> class_names;
  std::vector<PictureFile> files;  // by class, then by name, so that the file system has no say

  std::filesystem::path PathOf(const PictureFile& file) const {
    return path / class_names[static_cast<size_t>(file.label)] / file.name;
  }
};

// Hidden files and those that are neither .jpg, .jpeg nor .png are left out, with a warning if they
// are pictures of another kind. Throws kInput for fewer than two classes and for a class without
// pictures, kIo for a folder that cannot be read.
PictureFolder ScanPictures(const std::filesystem::path& folder);

}  // namespace lathe::data
