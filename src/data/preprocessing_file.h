// Preprocessing as the JSON text that stands beside weights, so that whoever loads them knows what
// images they want. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "data/loader.h"

namespace lathe::data {

// {"resolution": ..., "channels": ..., "crop": ..., "mean": [...], "std": [...]}
std::string ToJson(const Preprocessing& preprocessing);

// Throws kInput, beginning with `name`, for anything that ToJson() would not have written.
Preprocessing ParsePreprocessing(std::string_view json, std::string_view name);

}  // namespace lathe::data
