#include "onnx/graph_writer.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "onnx/fold.h"
#include "onnx/proto.h"

namespace lathe::onnx {
namespace {

namespace pb = ::onnx;
using net::Activation;
using net::Node;
using net::NodeKind;

// Builds the graph node by node. The main operation of a node and its output carry the node's name,
// so that a profile maps back to layers; what else the node needs gets that name and a suffix.
class GraphWriter {
 public:
  GraphWriter(const net::Graph& graph, const net::Weights& weights, const WriterOptions& options,
              pb::GraphProto& target)
      : graph_(graph), weights_(weights), options_(options), target_(target) {}

  void Write() {
    values_.push_back({.tensor = options_.image, .node = std::string(kImageName)});
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
    if (!IsQuantized(node, index)) return value.tensor;
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
    current_ = output ? kOutputName : name;
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
    return AddInitializer(target_, name, shape, values);
  }

  bool IsQuantized(const Node& node, size_t index) const {
    return options_.quantization && ReadsQuantized(node, index) &&
           !options_.quantization->float_layers.contains(node.layer);
  }

  bool IsSymmetric() const { return options_.quantization->activations == ActivationType::kInt8; }

  std::string Quantize(const Value& value) {
    const Quantization& quantization = *options_.quantization;
    const ActivationScale scale =
        ScaleOf(quantization.ranges, value.node, quantization.activations);
    const std::string name = value.tensor + ".quantize", zero_point = name + ".zero_point";
    const std::string parts[] = {
        Initializer<float>(name + ".scale", {}, {scale.scale}),
        IsSymmetric()
            ? Initializer<int8_t>(zero_point, {}, {0})
            : Initializer<uint8_t>(zero_point, {}, {static_cast<uint8_t>(scale.zero_point)})};
    Emit("QuantizeLinear", name, {value.tensor, parts[0], parts[1]}, false);
    Emit("DequantizeLinear", value.tensor + ".dequantize", {name, parts[0], parts[1]}, false);
    return current_;
  }

  // Through int8 where the node's input is: half of what makes an engine compute in int8. It is
  // stored as int8, but for TensorRT, which before version 10 wants floats and quantises them
  // itself.
  std::string Weight(const Node& node, const std::vector<int64_t>& shape,
                     const std::vector<float>& values) {
    const std::string name = node.name + ".weight";
    if (!IsQuantized(node, 0)) return Initializer(name, shape, values);
    const QuantizedWeight weight = QuantizeWeight(values, static_cast<size_t>(node.out.c));
    const std::vector<int8_t> zeros(weight.scales.size());
    const std::string scale = Initializer(name + ".scale", {node.out.c}, weight.scales);
    const std::string zero_point = Initializer(name + ".zero_point", {node.out.c}, zeros);
    if (IsSymmetric()) {
      Initializer(name, shape, values);
      SetInt(Emit("QuantizeLinear", name + ".quantize", {name, scale, zero_point}, false), "axis",
             0);
    } else {
      current_ = Initializer(name, shape, weight.values);
    }
    SetInt(Emit("DequantizeLinear", name + ".dequantize", {current_, scale, zero_point}, false),
           "axis", 0);
    return current_;
  }

  // `bias` may be empty: none.
  void AddBias(const Node& node, std::vector<float> bias, std::vector<std::string>& inputs) {
    if (IsQuantized(node, 0)) {
      const auto& shifts = options_.quantization->bias_shifts;
      const auto shift = shifts.find(node.name);
      if (shift != shifts.end()) {
        bias.resize(shift->second.size());
        std::ranges::transform(bias, shift->second, bias.begin(), std::plus());
      }
    }
    if (!bias.empty()) inputs.push_back(Initializer(node.name + ".bias", {node.out.c}, bias));
  }

  void Conv(const Node& node) {
    FoldedConv conv = FoldBatchNorm(node, weights_);
    const int64_t k = node.kernel;
    std::vector<std::string> inputs = {
        Input(node, 0), Weight(node, {node.out.c, node.in.c / node.groups, k, k}, conv.weight)};
    AddBias(node, std::move(conv.bias), inputs);
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
    AddBias(node, node.bias ? weights_.at(node.name + ".bias").values : std::vector<float>(),
            inputs);
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
        if (options_.opset >= 14) {
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
  const WriterOptions& options_;
  pb::GraphProto& target_;
  std::vector<Value> values_;  // the image, then one per graph node
  std::string current_;        // the tensor last written
  bool last_ = false;          // writing the graph's last node
};

}  // namespace

void WriteGraph(const net::Graph& graph, const net::Weights& weights, const WriterOptions& options,
                pb::GraphProto& target) {
  GraphWriter(graph, weights, options, target).Write();
}

}  // namespace lathe::onnx
