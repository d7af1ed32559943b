// The nodes and initializers of a network in ONNX, without inputs, outputs and metadata. Private to
// this module.
#pragma once

#include <onnx/onnx_pb.h>

#include <optional>
#include <string>

#include "net/graph.h"
#include "net/weights.h"
#include "onnx/quantize.h"

namespace lathe::onnx {

inline constexpr const char* kOutputName = "logits";

struct WriterOptions {
  int opset = 14;
  std::string image;  // the tensor that the first node reads, {batch, c, h, w}
  const std::optional<Quantization>& quantization;
};

// Adds to `target` the operations from WriterOptions::image to kOutputName.
void WriteGraph(const net::Graph& graph, const net::Weights& weights, const WriterOptions& options,
                ::onnx::GraphProto& target);

}  // namespace lathe::onnx
