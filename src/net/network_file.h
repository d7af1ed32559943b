// Networks as JSON: Lathe's own network.json (every resolved value, format version 1) and NVIDIA's
// GPUNet lists.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "net/network.h"

namespace lathe::net {

// Reads either format, told apart by its content. Throws kInput with file, layer number, key and
// the nearest valid name.
Network ReadNetwork(const std::filesystem::path& path);
Network ParseNetwork(std::string_view json, std::string_view name);

// Lathe's format: {"format": "lathe-network", "version": 1, "name": ..., "input": [c,h,w],
// "layers": [...]}.
std::string ToJson(const Network& network);
// NVIDIA's list. Throws kInput naming the layer when something has no counterpart there.
std::string ToGpunetJson(const Network& network);

// A layer-by-layer table for people: name, op, input, output, kernel, stride, params, MACs; and a
// total line.
std::string Describe(const Network& network);

}  // namespace lathe::net
