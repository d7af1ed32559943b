// PyTorch on the CPU (libtorch, eager, channels-last, batch norm folded): what serving a network
// from PyTorch itself costs.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace lathe::engine {

// Throws kUnavailable for devices other than "CPU", kInput for precisions other than f32 and bf16.
// Torch's thread count is global to the process: models set it for the duration of each call.
// Load() is not available, torch reads no ONNX files.
std::unique_ptr<Engine> MakeTorchEngine(const TargetOptions& options);

}  // namespace lathe::engine
