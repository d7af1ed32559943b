// Small helpers to write ONNX's protobuf messages. Private to this module.
#pragma once

#include <onnx/onnx_pb.h>

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace lathe::onnx {

inline ::onnx::AttributeProto& AddAttribute(::onnx::NodeProto& node, const char* name,
                                            ::onnx::AttributeProto::AttributeType type) {
  ::onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

inline void SetInts(::onnx::NodeProto& node, const char* name,
                    std::initializer_list<int64_t> values) {
  ::onnx::AttributeProto& attribute = AddAttribute(node, name, ::onnx::AttributeProto::INTS);
  for (const int64_t value : values) attribute.add_ints(value);
}

inline void SetInt(::onnx::NodeProto& node, const char* name, int64_t value) {
  AddAttribute(node, name, ::onnx::AttributeProto::INT).set_i(value);
}

inline void SetFloat(::onnx::NodeProto& node, const char* name, float value) {
  AddAttribute(node, name, ::onnx::AttributeProto::FLOAT).set_f(value);
}

// Adds an operation that writes the tensor of its own name.
inline ::onnx::NodeProto& AddNode(::onnx::GraphProto& graph, const char* op,
                                  const std::string& name, const std::vector<std::string>& inputs) {
  ::onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(name);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(name);
  return node;
}

template <typename T>
std::string AddInitializer(::onnx::GraphProto& graph, const std::string& name,
                           const std::vector<int64_t>& shape, const std::vector<T>& values) {
  static_assert(std::endian::native == std::endian::little, "ONNX raw data is little endian");
  using Proto = ::onnx::TensorProto;
  ::onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(std::is_same_v<T, int8_t>    ? Proto::INT8
                       : std::is_same_v<T, uint8_t> ? Proto::UINT8
                                                    : Proto::FLOAT);
  for (const int64_t size : shape) tensor.add_dims(size);
  tensor.set_raw_data(values.data(), values.size() * sizeof(T));
  return name;
}

// Moves the nodes from `first` on, which were added last, before all others: ONNX wants them in
// order of execution.
void MoveToFront(::onnx::GraphProto& graph, int first);

// onnx/half.h, in place.
void ToHalf(::onnx::ModelProto& model, std::string_view name);

}  // namespace lathe::onnx
