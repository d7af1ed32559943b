#include "onnx/half.h"

#include <Eigen/Core>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "onnx/proto.h"

namespace lathe::onnx {
namespace {

namespace pb = ::onnx;

// Lathe's own files keep their floats as raw data.
void Convert(pb::TensorProto& tensor, std::string_view name) {
  if (tensor.data_type() != pb::TensorProto::FLOAT) return;
  const std::string& raw = tensor.raw_data();
  std::vector<float> values(raw.size() / sizeof(float));
  std::memcpy(values.data(), raw.data(), values.size() * sizeof(float));
  std::vector<Eigen::half> halves;
  halves.reserve(values.size());
  for (const float value : values) {
    halves.emplace_back(value);
    if (std::isfinite(value) && !Eigen::numext::isfinite(halves.back())) {
      throw Error(ErrorKind::kInput, "{}: weight {} of '{}' is too large for f16; use f32", name,
                  value, tensor.name());
    }
  }
  tensor.set_data_type(pb::TensorProto::FLOAT16);
  tensor.set_raw_data(halves.data(), halves.size() * sizeof(Eigen::half));
}

void AddCast(pb::GraphProto& graph, const std::string& from, const std::string& to,
             pb::TensorProto::DataType type) {
  pb::NodeProto& node = AddNode(graph, "Cast", to + ".cast", {from});
  node.set_output(0, to);
  SetInt(node, "to", type);
}

}  // namespace

void ToHalf(pb::ModelProto& model, std::string_view name) {
  pb::GraphProto& graph = *model.mutable_graph();
  if (graph.input_size() != 1 || graph.output_size() != 1) {
    throw Error(ErrorKind::kInput, "{}: not an ONNX model with one input and one output", name);
  }
  for (pb::TensorProto& tensor : *graph.mutable_initializer()) Convert(tensor, name);

  const std::string input = graph.input(0).name(), output = graph.output(0).name();
  const std::string half_input = input + ".f16", half_output = output + ".f16";
  for (pb::NodeProto& node : *graph.mutable_node()) {
    if (node.op_type() == "QuantizeLinear") {
      throw Error(ErrorKind::kInput, "{}: is quantised; use precision int8 for it", name);
    }
    for (std::string& value : *node.mutable_input()) {
      if (value == input) value = half_input;
    }
    for (std::string& value : *node.mutable_output()) {
      if (value == output) value = half_output;
    }
  }
  AddCast(graph, half_output, output, pb::TensorProto::FLOAT);
  AddCast(graph, input, half_input, pb::TensorProto::FLOAT16);
  MoveToFront(graph, graph.node_size() - 1);
}

std::string ToHalf(std::string_view onnx_bytes, std::string_view name) {
  pb::ModelProto model;
  const bool fits = onnx_bytes.size() <= static_cast<size_t>(std::numeric_limits<int>::max());
  if (!fits || !model.ParseFromArray(onnx_bytes.data(), static_cast<int>(onnx_bytes.size()))) {
    throw Error(ErrorKind::kInput, "{}: not an ONNX model", name);
  }
  ToHalf(model, name);
  return model.SerializeAsString();
}

}  // namespace lathe::onnx
