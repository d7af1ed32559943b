// For tests: the GPUNet space that Lathe comes with.
#pragma once

#include <filesystem>

#include "space/search_space.h"

namespace lathe::space {

inline SearchSpace Gpunet() {
  return SearchSpace::Load(std::filesystem::path(LATHE_SOURCE_DIR) / "configs/spaces/gpunet.toml");
}

}  // namespace lathe::space
