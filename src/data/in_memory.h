// A data set whose pixels, all of one size, lie in memory: IDX and CIFAR. Private to this module.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace lathe::data {

struct InMemoryImages {
  int h = 0, w = 0, c = 0;
  std::vector<uint8_t> pixels;  // count x h x w x c
  std::vector<int> labels;
  std::vector<std::string> class_names;  // empty: "0", "1", ... up to the largest label
};

// Throws kInput, naming `label_file`, for a label that has no class name.
std::shared_ptr<const Dataset> MakeInMemory(InMemoryImages images,
                                            const std::filesystem::path& label_file);

}  // namespace lathe::data
