// PyTorch (libtorch, channels-last, batch norm folded): what serving a network from PyTorch itself
// costs. On the CPU in eager mode; on an NVIDIA GPU as a CUDA graph.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace lathe::engine {

// `options.device` is "CPU", "CUDA" or "CUDA:1". Throws kUnavailable for other devices, in builds
// without LATHE_CUDA and on machines without that GPU; kInput for precisions other than f32, bf16
// and, on GPUs, f16. f32 is computed without TF32.
//
// Latencies on a GPU are of one replay of the graph with its input and output on the GPU, as the
// caller waits for it: launch and wake-up count, copies from and to the host do not.
//
// Torch's thread count, and on GPUs its TF32 and cuDNN settings, are global to the process: models
// set them for the duration of each call. Load() is not available, torch reads no ONNX files.
std::unique_ptr<Engine> MakeTorchEngine(const TargetOptions& options);

}  // namespace lathe::engine
