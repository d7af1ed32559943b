// Network + weights -> an ONNX model, in f32, f16 or int8: batch norm folded into the convolutions,
// node and output names equal to net/graph.h's (profiles map back to layers by them), checked by
// ONNX's own checker.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "net/graph.h"
#include "net/weights.h"
#include "onnx/quantize.h"

namespace lathe::onnx {

// How pixels become what the network takes, for a model that does it itself.
struct PixelInput {
  std::array<float, 3> mean, std;  // of values 0 to 1, per channel
};

struct ExportOptions {
  int batch = 1;   // 0: dynamic ("N")
  int opset = 14;  // 11 to 17; from 14 on hard-swish is one node
  std::map<std::string, std::string> metadata =
      {};  // metadata_props, e.g. {"lathe.latency_us": "312"}
  // Given: an int8 model in QDQ form. QuantizeLinear and DequantizeLinear around the tensors of
  // QuantizedNodes(), shared by all readers; weights through int8, biases as float32. From opset 13
  // on.
  std::optional<Quantization> quantization = {};
  bool half = false;  // f16 weights and arithmetic between an f32 input and output; not with int8
  // Given: the input is uint8 {batch, h, w, c}, and (pixel / 255 - mean) / std part of the model.
  std::optional<PixelInput> pixels = {};
  bool softmax = false;  // the output is called "probabilities" then
};

// Serialised ModelProto; input "image" {batch, c, h, w}, output "logits" {batch, classes}. Throws
// kInput when weights or ranges do not fit the network, kInternal when the checker refuses the
// result. The metadata also gets "lathe.network", the network as JSON.
std::string ToOnnx(const net::Network& network, const net::Weights& weights,
                   const ExportOptions& options = {});
// The same, written atomically and without another copy in memory.
void ExportOnnx(const std::filesystem::path& path, const net::Network& network,
                const net::Weights& weights, const ExportOptions& options = {});

// The metadata_props of any ONNX file. Like the next one, throws kInput when it is missing or not
// ONNX.
std::map<std::string, std::string> ReadMetadata(const std::filesystem::path& path);
// How a file takes images and gives answers.
struct FileForm {
  std::vector<int> lengths;  // of its first input, batch first; 0: dynamic
  bool pixels = false;       // uint8 {n, h, w, c} rather than normalised floats {n, c, h, w}
  bool softmax = false;      // probabilities rather than logits
};
FileForm ReadForm(const std::filesystem::path& path);

}  // namespace lathe::onnx
