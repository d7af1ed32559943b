// ONNX models in f16, for versions of TensorRT that take the types to compute in from the file
// alone.
#pragma once

#include <string>
#include <string_view>

namespace lathe::engine {

// The serialised f32 model with f16 weights and arithmetic; its input and output stay f32. Throws
// kInput for models that are quantised or whose weights overflow; `name` says which in the message.
std::string ToHalf(std::string_view onnx_bytes, std::string_view name);

}  // namespace lathe::engine
