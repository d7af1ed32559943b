// TensorRT through NVIDIA's `trtexec`, found on PATH: networks go to it as ONNX files, times and
// outputs come back as JSON. One process per call, so Run() is for verifying a file, not for
// serving.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace lathe::engine {

// `options.device` is "GPU" or "GPU:1". Builds and times a one-layer network to see that trtexec
// works and to learn its version and the device's name, which takes some seconds. Throws
// kUnavailable when trtexec is not there or its TensorRT lacks the precision, kInternal when it
// does not work. Later builds share a timing cache in the user's cache folder. Times are of the
// network on the device, in a CUDA graph, without copies from and to the host.
std::unique_ptr<Engine> MakeTensorRtEngine(const TargetOptions& options);

}  // namespace lathe::engine
