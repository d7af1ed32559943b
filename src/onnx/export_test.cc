#include "onnx/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <chrono>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "net/network_file.h"
#include "net/zoo.h"

namespace lathe::onnx {
namespace {

namespace pb = ::onnx;
using ::testing::HasSubstr;

pb::ModelProto Parse(const std::string& bytes) {
  pb::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(bytes));
  return model;
}

std::vector<float> Values(const pb::ModelProto& model, const std::string& name) {
  for (const pb::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.name() != name) continue;
    std::vector<float> values(tensor.raw_data().size() / sizeof(float));
    std::memcpy(values.data(), tensor.raw_data().data(), tensor.raw_data().size());
    return values;
  }
  ADD_FAILURE() << "no initializer " << name;
  return {};
}

std::vector<std::string> Ops(const pb::ModelProto& model) {
  std::vector<std::string> ops;
  for (const pb::NodeProto& node : model.graph().node()) {
    ops.push_back(node.name() + ":" + node.op_type());
  }
  return ops;
}

// One convolution with norm and `act`, and a tail.
net::Network Small(net::Activation act) {
  net::Network network;
  network.name = "small";
  network.input = {2, 5, 5};
  network.layers.push_back({.op = net::Op::kConv,
                            .in = network.input,
                            .out_channels = 3,
                            .stride = 2,
                            .act = act,
                            .padding = net::Padding::kSame});
  network.layers.push_back(
      {.op = net::Op::kTail, .in = network.layers[0].out(), .out_channels = 4, .mid_channels = 6});
  return network;
}

net::Weights WeightsOf(const net::Network& network) {
  return net::RandomWeights(net::Lower(network), 1);
}

// Quick to make, which matters for large networks.
net::Weights ZeroWeights(const net::Graph& graph) {
  net::Weights weights;
  for (const net::TensorSpec& spec : net::Tensors(graph)) {
    size_t size = 1;
    for (const int64_t n : spec.shape) size *= static_cast<size_t>(n);
    weights.tensors[spec.name] = {spec.shape, std::vector<float>(size)};
  }
  return weights;
}

// The checker runs inside ToOnnx; strict shape inference here also proves that all shapes fit.
class EveryZooNetwork : public testing::TestWithParam<std::string_view> {};

TEST_P(EveryZooNetwork, PassesCheckerAndShapeInference) {
  const net::Network network = net::ZooNetwork(GetParam(), {.resolution = 32, .classes = 10});
  const net::Graph graph = net::Lower(network);
  pb::ModelProto model = Parse(ToOnnx(network, ZeroWeights(graph), {.batch = 2}));
  const std::string before = model.graph().output(0).SerializeAsString();
  pb::shape_inference::InferShapes(model, pb::OpSchemaRegistry::Instance(), {true, 1, false});
  EXPECT_EQ(model.graph().output(0).SerializeAsString(), before);

  // Every graph node is there by its name, with the shape that the graph gives it.
  std::map<std::string, const pb::ValueInfoProto*> inferred;
  for (const auto& value : model.graph().value_info()) inferred[value.name()] = &value;
  for (const net::Node& node : graph.nodes) {
    if (&node == &graph.nodes.back()) continue;  // the output, compared above
    ASSERT_TRUE(inferred.contains(node.name)) << node.name;
    std::vector<int64_t> dims;
    for (const auto& dim : inferred[node.name]->type().tensor_type().shape().dim()) {
      dims.push_back(dim.dim_value());
    }
    std::vector<int64_t> expected = {2, node.out.c, node.out.h, node.out.w};
    if (node.kind == net::NodeKind::kLinear) expected = {2, node.out.c};
    EXPECT_EQ(dims, expected) << node.name;
  }
}

// The nodes of a model, by the tensors they write.
class Producers {
 public:
  explicit Producers(const pb::ModelProto& model) {
    for (const pb::NodeProto& node : model.graph().node()) nodes_[node.output(0)] = &node;
    for (const pb::TensorProto& tensor : model.graph().initializer()) {
      tensors_[tensor.name()] = &tensor;
    }
  }
  const pb::NodeProto& Of(const std::string& tensor) const { return *nodes_.at(tensor); }
  const pb::TensorProto& Initializer(const std::string& name) const { return *tensors_.at(name); }

  bool IsQuantized(const std::string& tensor) const {
    const auto found = nodes_.find(tensor);
    return found != nodes_.end() && found->second->op_type() == "DequantizeLinear" &&
           Of(found->second->input(0)).op_type() == "QuantizeLinear";
  }

  // Through int8, with a scale for each of `channels`.
  bool IsQuantizedWeight(const std::string& tensor, int channels) const {
    const auto found = nodes_.find(tensor);
    if (found == nodes_.end() || found->second->op_type() != "DequantizeLinear") return false;
    const pb::NodeProto& node = *found->second;
    return node.attribute(0).name() == "axis" && node.attribute(0).i() == 0 &&
           Initializer(node.input(0)).data_type() == pb::TensorProto::INT8 &&
           Initializer(node.input(1)).dims(0) == channels &&
           Initializer(node.input(2)).data_type() == pb::TensorProto::INT8;
  }

 private:
  std::map<std::string, const pb::NodeProto*> nodes_;
  std::map<std::string, const pb::TensorProto*> tensors_;
};

TEST_P(EveryZooNetwork, IsQuantizedWhereverANodeReadsInt8) {
  const net::Network network = net::ZooNetwork(GetParam(), {.resolution = 32, .classes = 10});
  const net::Graph graph = net::Lower(network);
  pb::ModelProto model =
      Parse(ToOnnx(network, ZeroWeights(graph),
                   {.batch = 2, .quantization = Quantization{NominalRanges(graph)}}));
  pb::shape_inference::InferShapes(model, pb::OpSchemaRegistry::Instance(), {true, 1, false});
  const Producers producers(model);
  for (const net::Node& node : graph.nodes) {
    const pb::NodeProto& op =
        producers.Of(&node == &graph.nodes.back() ? std::string("logits") : node.name);
    EXPECT_EQ(op.name(), node.name);
    const bool in_gate = node.name.find(".se.") != std::string::npos;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      EXPECT_EQ(producers.IsQuantized(op.input(static_cast<int>(i))), ReadsQuantized(node, i))
          << node.name;
    }
    if (node.kind != net::NodeKind::kConv && node.kind != net::NodeKind::kLinear) continue;
    EXPECT_EQ(producers.IsQuantizedWeight(op.input(1), node.out.c), !in_gate) << node.name;
    if (!node.bias && !node.batch_norm) continue;
    EXPECT_EQ(producers.Initializer(node.name + ".bias").data_type(), pb::TensorProto::FLOAT);
  }
  // Each tensor once, however many read it.
  std::set<std::string> quantized;
  for (const pb::NodeProto& node : model.graph().node()) {
    if (node.op_type() != "QuantizeLinear") continue;
    EXPECT_TRUE(quantized.insert(node.input(0)).second) << node.name();
  }
  EXPECT_EQ(quantized.size(), QuantizedNodes(graph).size());
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryZooNetwork, testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const net::ZooEntry& entry : net::Zoo()) {
                             names.push_back(entry.name);
                           }
                           return names;
                         }()),
                         [](const auto& each) { return std::string(each.param); });

TEST(Export, NamesFollowTheGraph) {
  const net::Network network = Small(net::Activation::kSwish);
  const pb::ModelProto model = Parse(ToOnnx(network, WeightsOf(network)));
  EXPECT_THAT(Ops(model), testing::ElementsAre(
                              "l00.conv:Conv", "l00.conv.sigmoid:Sigmoid", "l00.conv.mul:Mul",
                              "l01.conv:Conv", "l01.conv.relu:Relu", "l01.pool:GlobalAveragePool",
                              "l01.classifier.flatten:Flatten", "l01.classifier:Gemm"));
  for (const pb::NodeProto& node : model.graph().node()) {
    EXPECT_EQ(node.output(0), node.name() == "l01.classifier" ? "logits" : node.name());
  }
}

TEST(Export, Int8NamesFollowTheGraphToo) {
  const net::Network network = Small(net::Activation::kRelu);
  const net::Graph graph = net::Lower(network);
  const pb::ModelProto model = Parse(
      ToOnnx(network, WeightsOf(network), {.quantization = Quantization{NominalRanges(graph)}}));
  EXPECT_THAT(
      Ops(model),
      testing::ElementsAre(
          "image.quantize:QuantizeLinear", "image.dequantize:DequantizeLinear",
          "l00.conv.weight.dequantize:DequantizeLinear", "l00.conv:Conv", "l00.conv.relu:Relu",
          "l00.conv.relu.quantize:QuantizeLinear", "l00.conv.relu.dequantize:DequantizeLinear",
          "l01.conv.weight.dequantize:DequantizeLinear", "l01.conv:Conv", "l01.conv.relu:Relu",
          "l01.pool:GlobalAveragePool", "l01.classifier.flatten:Flatten",
          "l01.classifier.flatten.quantize:QuantizeLinear",
          "l01.classifier.flatten.dequantize:DequantizeLinear",
          "l01.classifier.weight.dequantize:DequantizeLinear", "l01.classifier:Gemm"));
  EXPECT_EQ(model.graph().node(model.graph().node_size() - 1).output(0), "logits");
}

TEST(Export, Int8QuantizesTheFoldedWeight) {
  const net::Network network = Small(net::Activation::kRelu);
  const net::Graph graph = net::Lower(network);
  net::Weights weights = WeightsOf(network);
  weights.tensors["l00.conv.bn.var"].values = {4 - 1e-3f, 1 - 1e-3f, 0.25f - 1e-3f};
  const std::vector<float> folded = Values(Parse(ToOnnx(network, weights)), "l00.conv.weight");
  const pb::ModelProto model =
      Parse(ToOnnx(network, weights, {.quantization = Quantization{NominalRanges(graph)}}));
  const std::vector<float> scales = Values(model, "l00.conv.weight.scale");
  ASSERT_EQ(scales.size(), 3u);
  const std::string bytes = Producers(model).Initializer("l00.conv.weight").raw_data();
  ASSERT_EQ(bytes.size(), folded.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const float scale = scales[i / 18];
    EXPECT_NEAR(static_cast<signed char>(bytes[i]) * scale, folded[i], scale / 2 * 1.001f) << i;
  }
  EXPECT_EQ(Values(model, "l00.conv.bias"), std::vector<float>(3));
}

TEST(Export, SymmetricInt8HasNoZeroPointsAndFloatWeights) {
  const net::Network network = Small(net::Activation::kRelu);
  const net::Weights weights = WeightsOf(network);
  const Ranges ranges = NominalRanges(net::Lower(network));
  const pb::ModelProto model = Parse(ToOnnx(
      network, weights,
      {.quantization = Quantization{.ranges = ranges, .activations = ActivationType::kInt8}}));
  const Producers producers(model);
  for (const pb::NodeProto& node : model.graph().node()) {
    if (node.op_type() != "QuantizeLinear") continue;
    const pb::TensorProto& zero_point = producers.Initializer(node.input(2));
    EXPECT_EQ(zero_point.data_type(), pb::TensorProto::INT8) << node.name();
    EXPECT_EQ(zero_point.raw_data().find_first_not_of('\0'), std::string::npos) << node.name();
  }
  EXPECT_TRUE(producers.IsQuantized("l00.conv.weight.dequantize"));
  EXPECT_EQ(Values(model, "l00.conv.weight"),
            Values(Parse(ToOnnx(network, weights)), "l00.conv.weight"));
  EXPECT_FLOAT_EQ(Values(model, "l00.conv.relu.quantize.scale")[0], 6.0f / 127);
}

TEST(Export, LayersStayFloatAndBiasesShift) {
  const net::Network network = Small(net::Activation::kRelu);
  Quantization quantization{.ranges = NominalRanges(net::Lower(network)), .float_layers = {0}};
  quantization.bias_shifts = {{"l00.conv", {1, 2, 3}}, {"l01.classifier", {1, 2, 3, 4}}};
  const pb::ModelProto model =
      Parse(ToOnnx(network, WeightsOf(network), {.quantization = quantization}));
  const Producers producers(model);
  EXPECT_EQ(producers.Of("l00.conv").input(0), "image");
  EXPECT_FALSE(producers.IsQuantizedWeight(producers.Of("l00.conv").input(1), 3));
  EXPECT_TRUE(producers.IsQuantized(producers.Of("l01.conv").input(0)));
  EXPECT_EQ(Values(model, "l00.conv.bias"), std::vector<float>(3)) << "of a float layer";
  EXPECT_THAT(Values(model, "l01.classifier.bias"), testing::ElementsAre(1, 2, 3, 4));
}

TEST(Export, PixelsAndSoftmaxAreWrappedAroundTheModel) {
  const net::Network network = Small(net::Activation::kRelu);
  const fs::path path = fs::path(testing::TempDir()) / "pixels.onnx";
  ExportOnnx(path, network, WeightsOf(network),
             {.batch = 3,
              .half = true,
              .pixels = PixelInput{.mean = {0.5f, 0.25f, 0}, .std = {0.5f, 1, 1}},
              .softmax = true});
  const pb::ModelProto model = Parse(ReadFile(path));
  const std::vector<std::string> ops = Ops(model);
  EXPECT_EQ(ops.front(), "image.float:Cast");
  EXPECT_EQ(ops.back(), "probabilities:Softmax");
  EXPECT_THAT(Values(model, "image.factor"),
              testing::Pointwise(testing::FloatEq(), {1 / 127.5f, 1 / 255.0f}));
  EXPECT_THAT(Values(model, "image.offset"), testing::ElementsAre(-1, -0.25f));
  const FileForm form = ReadForm(path);
  EXPECT_EQ(form.lengths, (std::vector<int>{3, 5, 5, 2}));
  EXPECT_TRUE(form.pixels);
  EXPECT_TRUE(form.softmax);
  net::Network wide = net::WithInput(network, {4, 5, 5});
  EXPECT_THAT(MessageOf(ErrorKind::kInput,
                        [&] { ToOnnx(wide, WeightsOf(wide), {.pixels = PixelInput{}}); }),
              HasSubstr("at most 3 channels"));
}

TEST(Export, Int8NeedsRangesAndTheirOpset) {
  const net::Network network = Small(net::Activation::kRelu);
  const net::Weights weights = WeightsOf(network);
  Ranges ranges = NominalRanges(net::Lower(network));
  const auto message = [&](int opset) {
    return MessageOf(ErrorKind::kInput, [&] {
      ToOnnx(network, weights, {.opset = opset, .quantization = Quantization{ranges}});
    });
  };
  EXPECT_THAT(message(12), HasSubstr("opset 13 or later, not 12"));
  ranges["l00.conv"] = {.low = 2, .high = 1};
  EXPECT_THAT(message(13), HasSubstr("'l00.conv', 2 to 1, is empty"));
  ranges.erase("l00.conv");
  EXPECT_THAT(message(17), HasSubstr("'l00.conv', which is missing"));
  ranges = NominalRanges(net::Lower(network));
  for (const int opset : {13, 17}) {
    EXPECT_FALSE(
        ToOnnx(network, weights, {.opset = opset, .quantization = Quantization{ranges}}).empty());
  }
}

TEST(Export, HardSwishIsOneNodeFromOpset14On) {
  const net::Network network = Small(net::Activation::kHardSwish);
  const net::Weights weights = WeightsOf(network);
  EXPECT_THAT(Ops(Parse(ToOnnx(network, weights, {.opset = 14}))),
              testing::Contains("l00.conv.hard_swish:HardSwish"));
  const pb::ModelProto model = Parse(ToOnnx(network, weights, {.opset = 13}));
  EXPECT_THAT(Ops(model),
              testing::IsSupersetOf({"l00.conv.hard_sigmoid:HardSigmoid", "l00.conv.mul:Mul"}));
  EXPECT_FLOAT_EQ(model.graph().node(1).attribute(0).f(), 1.0f / 6);
  EXPECT_FLOAT_EQ(model.graph().node(1).attribute(1).f(), 0.5f);
}

TEST(Export, SamePaddingIsExplicit) {
  net::Network network = Small(net::Activation::kRelu6);
  network = net::WithInput(network, {2, 6, 6});
  const pb::ModelProto model = Parse(ToOnnx(network, WeightsOf(network)));
  for (const pb::AttributeProto& attribute : model.graph().node(0).attribute()) {
    if (attribute.name() != "pads") continue;
    EXPECT_THAT(attribute.ints(), testing::ElementsAre(0, 0, 1, 1));  // 6 px, k 3, s 2: one below
    return;
  }
  FAIL() << "no pads";
}

TEST(Export, FoldsBatchNorm) {
  const net::Network network = Small(net::Activation::kRelu);
  net::Weights weights = WeightsOf(network);
  weights.tensors["l00.conv.bn.weight"].values = {2, 1, 1};
  weights.tensors["l00.conv.bn.bias"].values = {5, 0, -1};
  weights.tensors["l00.conv.bn.mean"].values = {3, 0, 0.5};
  weights.tensors["l00.conv.bn.var"].values = {4 - 1e-3f, 1 - 1e-3f, 0.25f - 1e-3f};
  const pb::ModelProto model = Parse(ToOnnx(network, weights));
  // gamma / sqrt(var + eps) is 1, 1, 2; the bias is beta - mean times that.
  EXPECT_THAT(Values(model, "l00.conv.bias"),
              testing::Pointwise(testing::FloatNear(1e-5f), {2.0f, 0.0f, -2.0f}));
  std::vector<float> expected = weights.at("l00.conv.weight").values;
  for (size_t i = 36; i < 54; ++i) expected[i] *= 2;
  EXPECT_THAT(Values(model, "l00.conv.weight"),
              testing::Pointwise(testing::FloatNear(1e-5f), expected));
}

TEST(Export, DynamicBatchAndMetadata) {
  const net::Network network = Small(net::Activation::kRelu);
  const fs::path path = fs::path(testing::TempDir()) / "small.onnx";
  ExportOnnx(path, network, WeightsOf(network),
             {.batch = 0, .metadata = {{"lathe.latency_us", "312"}}});
  const pb::ModelProto model = Parse(ReadFile(path));
  EXPECT_EQ(model.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  const net::Shape& input = network.input;
  EXPECT_EQ(ReadForm(path).lengths, (std::vector<int>{0, input.c, input.h, input.w}));
  const std::map<std::string, std::string> metadata = ReadMetadata(path);
  EXPECT_EQ(metadata.at("lathe.latency_us"), "312");
  EXPECT_EQ(net::ParseNetwork(metadata.at("lathe.network"), "metadata"), network);
  ExportOnnx(path, network, WeightsOf(network), {.batch = 3});
  EXPECT_EQ(ReadForm(path).lengths[0], 3);
}

TEST(Export, RefusesWhatDoesNotFit) {
  const net::Network network = Small(net::Activation::kRelu);
  net::Weights weights = WeightsOf(network);
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ToOnnx(network, weights, {.opset = 9}); }),
              HasSubstr("opset 9"));
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ToOnnx(network, weights, {.batch = -1}); }),
              HasSubstr("batch -1"));
  weights.tensors.erase("l01.conv.weight");
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ToOnnx(network, weights); }),
              HasSubstr("l01.conv.weight"));
  const fs::path path = fs::path(testing::TempDir()) / "not.onnx";
  WriteFileAtomically(path, "this is no protobuf");
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { ReadMetadata(path); }), HasSubstr("not.onnx"));
}

TEST(Export, LargeNetworksAreQuick) {
  const net::Network network = net::ZooNetwork("gpunet_2");  // 26 M parameters
  const net::Weights weights = ZeroWeights(net::Lower(network));
  const auto start = std::chrono::steady_clock::now();
  const std::string bytes = ToOnnx(network, weights);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_GT(bytes.size(), 90u << 20);
  EXPECT_LT(seconds, 5);
}

}  // namespace
}  // namespace lathe::onnx
