// Network + weights -> an ONNX model, in float32 or int8: batch norm folded into the convolutions,
// node and output names equal to net/graph.h's (profiles map back to layers by them), checked by
// ONNX's own checker.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "net/graph.h"
#include "net/weights.h"
#include "onnx/quantize.h"

namespace lathe::onnx {

struct ExportOptions {
  int batch = 1;   // 0: dynamic ("N")
  int opset = 14;  // 11 to 17; from 14 on hard-swish is one node
  std::map<std::string, std::string> metadata =
      {};  // metadata_props, e.g. {"lathe.latency_us": "312"}
  // Given: an int8 model in QDQ form. QuantizeLinear and DequantizeLinear around the tensors of
  // QuantizedNodes(), shared by all readers; weights stored as int8, biases as float32. From opset
  // 13 on.
  std::optional<Quantization> quantization = {};
};

// Serialised ModelProto; input "image" {batch, c, h, w}, output "logits" {batch, classes}. Throws
// kInput when weights or ranges do not fit the network, kInternal when the checker refuses the
// result. The metadata also gets "lathe.network", the network as JSON.
std::string ToOnnx(const net::Network& network, const net::Weights& weights,
                   const ExportOptions& options = {});
// The same, written atomically.
void ExportOnnx(const std::filesystem::path& path, const net::Network& network,
                const net::Weights& weights, const ExportOptions& options = {});

// The metadata_props of any ONNX file. Like the next one, throws kInput when it is missing or not
// ONNX.
std::map<std::string, std::string> ReadMetadata(const std::filesystem::path& path);
// The lengths that its first input is made for, batch first; 0: dynamic.
std::vector<int> ReadInputShape(const std::filesystem::path& path);

}  // namespace lathe::onnx
