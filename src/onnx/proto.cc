#include "onnx/proto.h"

#include <algorithm>

namespace lathe::onnx {

void MoveToFront(::onnx::GraphProto& graph, int first) {
  auto& nodes = *graph.mutable_node();
  std::rotate(nodes.pointer_begin(), nodes.pointer_begin() + first, nodes.pointer_end());
}

}  // namespace lathe::onnx
