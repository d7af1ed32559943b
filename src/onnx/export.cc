#include "onnx/export.h"

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include <bit>
#include <exception>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "net/network_file.h"
#include "onnx/fold.h"

namespace lathe::onnx {
namespace {

namespace pb = ::onnx;
using net::Activation;
using net::Node;
using net::NodeKind;

constexpr int kMinOpset = 11;      // Clip with bounds as inputs, Gemm without a bias
constexpr int kMaxOpset = 17;      // what Debian's ONNX 1.12 can check
constexpr int kMinInt8Opset = 13;  // scales per channel
constexpr const char* kNetworkKey = "lathe.network";

void SetInts(pb::NodeProto& node, const char* name, std::initializer_list<int64_t> values) {
  pb::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(pb::AttributeProto::INTS);
  for (int64_t value : values) attribute->add_ints(value);
}

void SetInt(pb::NodeProto& node, const char* name, int64_t value) {
  pb::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(pb::AttributeProto::INT);
  attribute->set_i(value);
}

void SetFloat(pb::NodeProto& node, const char* name, float value) {
  pb::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(pb::AttributeProto::FLOAT);
  attribute->set_f(value);
}

// Builds the graph node by node. The main operation of a node and its output carry the node's name,
// so that a profile maps back to layers; what else the node needs gets that name and a suffix.
class GraphWriter {
 public:
  GraphWriter(const net::Graph& graph, const net::Weights& weights, const ExportOptions& options,
              pb::GraphProto& target)
      : graph_(graph),
        weights_(weights),
        opset_(options.opset),
        quantization_(options.quantization),
        target_(target) {}

  void Write() {
    const std::string image(kImageName);
    values_.push_back({.tensor = image, .node = image});
    for (const Node& node : graph_.nodes) {
      last_ = &node == &graph_.nodes.back();
      switch (node.kind) {
        case NodeKind::kConv:
          Conv(node);
          break;
        case NodeKind::kPool:
          Main(node, "GlobalAveragePool", {Input(node, 0)});
          break;
        case NodeKind::kScale:
          Main(node, "Mul", {Input(node, 0), Input(node, 1)});
          break;
        case NodeKind::kAdd:
          Main(node, "Add", {Input(node, 0), Input(node, 1)});
          break;
        case NodeKind::kLinear:
          Linear(node);
          break;
      }
      Activate(node);
      values_.push_back(
          {.tensor = current_, .node = node.name, .flat = node.kind == NodeKind::kLinear});
    }
  }

 private:
  struct Value {
    std::string tensor;
    std::string node = {};       // whose output it is
    std::string quantized = {};  // the same through int8; empty until a node reads that
    bool flat = false;           // {n, c} rather than {n, c, h, w}
  };

  Value& Source(const Node& node, size_t index) {
    static_assert(Node::kImage == -1, "values_ begins with the image");
    return values_.at(static_cast<size_t>(node.inputs.at(index) + 1));
  }

  std::string Input(const Node& node, size_t index) {
    return Read(Source(node, index), node, index);
  }

  // The tensor that `node` reads for a value, which is quantised once for all that want it so.
  std::string Read(Value& value, const Node& node, size_t index) {
    if (!quantization_ || !ReadsQuantized(node, index)) return value.tensor;
    if (value.quantized.empty()) value.quantized = Quantize(value);
    return value.quantized;
  }

  // Adds an operation called `name`; its output is the model's output if nothing of the graph
  // follows.
  pb::NodeProto& Emit(const char* op, const std::string& name, std::vector<std::string> inputs,
                      bool output) {
    pb::NodeProto& node = *target_.add_node();
    node.set_op_type(op);
    node.set_name(name);
    for (std::string& input : inputs) node.add_input(std::move(input));
    current_ = output ? "logits" : name;
    node.add_output(current_);
    return node;
  }

  pb::NodeProto& Main(const Node& node, const char* op, std::vector<std::string> inputs) {
    return Emit(op, node.name, std::move(inputs), last_ && node.act == Activation::kNone);
  }

  pb::NodeProto& Act(const Node& node, const char* op, const char* suffix,
                     std::vector<std::string> inputs, bool output) {
    return Emit(op, node.name + suffix, std::move(inputs), last_ && output);
  }

  template <typename T>
  std::string Initializer(const std::string& name, const std::vector<int64_t>& shape,
                          const std::vector<T>& values) {
    static_assert(std::endian::native == std::endian::little, "ONNX raw data is little endian");
    pb::TensorProto& tensor = *target_.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(std::is_same_v<T, int8_t>    ? pb::TensorProto::INT8
                         : std::is_same_v<T, uint8_t> ? pb::TensorProto::UINT8
                                                      : pb::TensorProto::FLOAT);
    for (int64_t size : shape) tensor.add_dims(size);
    tensor.set_raw_data(values.data(), values.size() * sizeof(T));
    return name;
  }

  std::string Quantize(const Value& value) {
    const ActivationScale scale = ScaleOf(*quantization_, value.node);
    const std::string name = value.tensor + ".quantize";
    const std::string parts[] = {
        Initializer<float>(name + ".scale", {}, {scale.scale}),
        Initializer<uint8_t>(name + ".zero_point", {}, {scale.zero_point})};
    Emit("QuantizeLinear", name, {value.tensor, parts[0], parts[1]}, false);
    Emit("DequantizeLinear", value.tensor + ".dequantize", {name, parts[0], parts[1]}, false);
    return current_;
  }

  // Stored as int8 where the node's input is: half of what makes an engine compute in int8.
  std::string Weight(const Node& node, const std::vector<int64_t>& shape,
                     const std::vector<float>& values) {
    const std::string name = node.name + ".weight";
    if (!quantization_ || !ReadsQuantized(node, 0)) return Initializer(name, shape, values);
    const QuantizedWeight weight = QuantizeWeight(values, static_cast<size_t>(node.out.c));
    const std::vector<int8_t> zeros(weight.scales.size());
    std::vector<std::string> inputs = {Initializer(name, shape, weight.values),
                                       Initializer(name + ".scale", {node.out.c}, weight.scales),
                                       Initializer(name + ".zero_point", {node.out.c}, zeros)};
    SetInt(Emit("DequantizeLinear", name + ".dequantize", std::move(inputs), false), "axis", 0);
    return current_;
  }

  void Conv(const Node& node) {
    const FoldedConv conv = FoldBatchNorm(node, weights_);
    const int64_t k = node.kernel;
    std::vector<std::string> inputs = {
        Input(node, 0), Weight(node, {node.out.c, node.in.c / node.groups, k, k}, conv.weight)};
    if (!conv.bias.empty()) {
      inputs.push_back(Initializer(node.name + ".bias", {node.out.c}, conv.bias));
    }
    pb::NodeProto& op = Main(node, "Conv", std::move(inputs));
    SetInts(op, "kernel_shape", {k, k});
    SetInts(op, "strides", {node.stride, node.stride});
    SetInts(op, "pads", {node.pad_begin, node.pad_begin, node.pad_end, node.pad_end});
    SetInt(op, "group", node.groups);
  }

  void Linear(const Node& node) {
    Value input = Source(node, 0);
    if (!input.flat) {
      SetInt(Emit("Flatten", node.name + ".flatten", {input.tensor}, false), "axis", 1);
      input = {.tensor = current_, .node = input.node, .flat = true};
    }
    std::vector<std::string> inputs = {
        Read(input, node, 0),
        Weight(node, {node.out.c, node.in.c}, weights_.at(node.name + ".weight").values)};
    if (node.bias) {
      inputs.push_back(
          Initializer(node.name + ".bias", {node.out.c}, weights_.at(node.name + ".bias").values));
    }
    SetInt(Main(node, "Gemm", std::move(inputs)), "transB", 1);
  }

  void HardSigmoid(const Node& node, bool output) {
    pb::NodeProto& op = Act(node, "HardSigmoid", ".hard_sigmoid", {current_}, output);
    SetFloat(op, "alpha", 1.0f / 6.0f);
    SetFloat(op, "beta", 0.5f);
  }

  void Activate(const Node& node) {
    const std::string input = current_;
    switch (node.act) {
      case Activation::kNone:
        break;
      case Activation::kRelu:
        Act(node, "Relu", ".relu", {input}, true);
        break;
      case Activation::kRelu6: {
        Act(node, "Clip", ".relu6",
            {input, Initializer<float>(node.name + ".relu6.min", {}, {0.0f}),
             Initializer<float>(node.name + ".relu6.max", {}, {6.0f})},
            true);
        break;
      }
      case Activation::kSwish:
        Act(node, "Sigmoid", ".sigmoid", {input}, false);
        Act(node, "Mul", ".mul", {input, current_}, true);
        break;
      case Activation::kHardSwish:
        if (opset_ >= 14) {
          Act(node, "HardSwish", ".hard_swish", {input}, true);
        } else {
          HardSigmoid(node, false);
          Act(node, "Mul", ".mul", {input, current_}, true);
        }
        break;
      case Activation::kSigmoid:
        Act(node, "Sigmoid", ".sigmoid", {input}, true);
        break;
      case Activation::kHardSigmoid:
        HardSigmoid(node, true);
        break;
    }
  }

  const net::Graph& graph_;
  const net::Weights& weights_;
  const int opset_;
  const std::optional<Quantization>& quantization_;
  pb::GraphProto& target_;
  std::vector<Value> values_;  // the image, then one per graph node
  std::string current_;        // the tensor last written
  bool last_ = false;          // writing the graph's last node
};

void Describe(pb::ValueInfoProto& value, const char* name, int batch,
              std::initializer_list<int> sizes) {
  value.set_name(name);
  pb::TypeProto_Tensor& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(pb::TensorProto::FLOAT);
  pb::TensorShapeProto& shape = *type.mutable_shape();
  if (batch > 0) {
    shape.add_dim()->set_dim_value(batch);
  } else {
    shape.add_dim()->set_dim_param("N");
  }
  for (int size : sizes) shape.add_dim()->set_dim_value(size);
}

void AddMetadata(pb::ModelProto& model, const std::string& key, const std::string& value) {
  pb::StringStringEntryProto& entry = *model.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

pb::ModelProto BuildModel(const net::Network& network, const net::Graph& graph,
                          const net::Weights& weights, const ExportOptions& options) {
  pb::ModelProto model;
  model.set_ir_version(options.opset >= 15 ? 8 : 7);
  model.set_producer_name("lathe");
  pb::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(options.opset);
  for (const auto& [key, value] : options.metadata) {
    if (key != kNetworkKey) AddMetadata(model, key, value);
  }
  AddMetadata(model, kNetworkKey, net::ToJson(network));

  pb::GraphProto& target = *model.mutable_graph();
  target.set_name(network.name.empty() ? "network" : network.name);
  const net::Shape& image = graph.input;
  Describe(*target.add_input(), "image", options.batch, {image.c, image.h, image.w});
  Describe(*target.add_output(), "logits", options.batch, {graph.nodes.back().out.c});
  GraphWriter(graph, weights, options, target).Write();
  return model;
}

pb::ModelProto Parse(const std::filesystem::path& path) {
  pb::ModelProto model;
  if (!model.ParseFromString(ReadFile(path)) || !model.has_graph()) {
    throw Error(ErrorKind::kInput, "{}: not an ONNX model", path.string());
  }
  return model;
}

void CheckOptions(const ExportOptions& options) {
  if (options.opset < kMinOpset || options.opset > kMaxOpset) {
    throw Error(ErrorKind::kInput, "ONNX export: opset {} is not supported; use {} to {}",
                options.opset, kMinOpset, kMaxOpset);
  }
  if (options.batch < 0) {
    throw Error(ErrorKind::kInput, "ONNX export: batch {} is negative; 0 means dynamic",
                options.batch);
  }
  if (options.quantization && options.opset < kMinInt8Opset) {
    throw Error(ErrorKind::kInput, "ONNX export: int8 needs opset {} or later, not {}",
                kMinInt8Opset, options.opset);
  }
}

}  // namespace

std::string ToOnnx(const net::Network& network, const net::Weights& weights,
                   const ExportOptions& options) {
  CheckOptions(options);
  const net::Graph graph = net::Lower(network);
  net::CheckWeights(graph, weights);
  try {
    const pb::ModelProto model = BuildModel(network, graph, weights, options);
    pb::checker::check_model(model);
    if (model.ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int>::max())) {
      throw Error(ErrorKind::kInput, "ONNX export: '{}' is {} MB; one ONNX file holds 2 GB",
                  network.name, model.ByteSizeLong() >> 20);
    }
    return model.SerializeAsString();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorKind::kInternal, "ONNX export of '{}': the checker refuses the model: {}",
                network.name, e.what());
  }
}

void ExportOnnx(const std::filesystem::path& path, const net::Network& network,
                const net::Weights& weights, const ExportOptions& options) {
  WriteFileAtomically(path, ToOnnx(network, weights, options));
}

std::map<std::string, std::string> ReadMetadata(const std::filesystem::path& path) {
  const pb::ModelProto model = Parse(path);
  std::map<std::string, std::string> metadata;
  for (const pb::StringStringEntryProto& entry : model.metadata_props()) {
    metadata.emplace(entry.key(), entry.value());
  }
  return metadata;
}

std::vector<int> ReadInputShape(const std::filesystem::path& path) {
  const pb::ModelProto model = Parse(path);
  if (model.graph().input_size() == 0) {
    throw Error(ErrorKind::kInput, "{}: this ONNX model has no input", path.string());
  }
  const auto& shape = model.graph().input(0).type().tensor_type().shape();
  std::vector<int> lengths;
  for (const auto& dim : shape.dim()) lengths.push_back(static_cast<int>(dim.dim_value()));
  return lengths;
}

}  // namespace lathe::onnx
