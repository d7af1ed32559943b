// ONNX models in f16: for engines that take the types to compute in from the file alone, as
// TensorRT from version 11 on.
#pragma once

#include <string>
#include <string_view>

namespace lathe::onnx {

// The serialised f32 model with f16 weights and arithmetic; its input and output stay f32. Throws
// kInput for models that are quantised or whose weights overflow; `name` says which in the message.
std::string ToHalf(std::string_view onnx_bytes, std::string_view name);

}  // namespace lathe::onnx
