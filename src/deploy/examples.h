// Programs that classify a picture, and a model repository for NVIDIA's Triton: files of a package
// made from templates. Private to this module.
#pragma once

#include <map>
#include <string>

#include "deploy/package.h"

namespace lathe::deploy {

// Texts by their path in the package: examples/..., and with Package::triton_onnx triton/NAME/...
std::map<std::string, std::string> ExampleFiles(const Package& package);

// The network's name in Triton: of letters, digits, '-' and '_'.
std::string TritonName(const Package& package);

}  // namespace lathe::deploy
