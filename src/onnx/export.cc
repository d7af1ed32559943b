#include "onnx/export.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include <exception>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "net/network_file.h"
#include "onnx/graph_writer.h"
#include "onnx/proto.h"

namespace lathe::onnx {
namespace {

namespace pb = ::onnx;

constexpr int kMinOpset = 11;      // Clip with bounds as inputs, Gemm without a bias
constexpr int kMaxOpset = 17;      // what Debian's ONNX 1.12 can check
constexpr int kMinInt8Opset = 13;  // scales per channel
constexpr const char* kNetworkKey = "lathe.network";
constexpr const char* kProbabilities = "probabilities";

void Describe(pb::ValueInfoProto& value, const std::string& name, int batch,
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
  for (const int size : sizes) shape.add_dim()->set_dim_value(size);
}

// Puts (pixel / 255 - mean) / std before the model, whose input so far, `normalised`, becomes an
// inner tensor.
void AddPixelInput(const net::Shape& image, const PixelInput& pixels, int batch,
                   pb::GraphProto& graph) {
  const std::string normalised = graph.input(0).name(), input(kImageName);
  std::vector<float> factor, offset;
  for (size_t c = 0; c < static_cast<size_t>(image.c); ++c) {
    factor.push_back(1 / (255 * pixels.std[c]));
    offset.push_back(-pixels.mean[c] / pixels.std[c]);
  }
  pb::ValueInfoProto& value = *graph.mutable_input(0);
  value.Clear();
  Describe(value, input, batch, {image.h, image.w, image.c});
  value.mutable_type()->mutable_tensor_type()->set_elem_type(pb::TensorProto::UINT8);

  const int first = graph.node_size();
  SetInt(AddNode(graph, "Cast", input + ".float", {input}), "to", pb::TensorProto::FLOAT);
  AddNode(graph, "Mul", input + ".scaled",
          {input + ".float", AddInitializer(graph, input + ".factor", {image.c}, factor)});
  AddNode(graph, "Add", input + ".shifted",
          {input + ".scaled", AddInitializer(graph, input + ".offset", {image.c}, offset)});
  SetInts(AddNode(graph, "Transpose", normalised, {input + ".shifted"}), "perm", {0, 3, 1, 2});
  MoveToFront(graph, first);
}

void AddSoftmax(pb::GraphProto& graph) {
  SetInt(AddNode(graph, "Softmax", kProbabilities, {kOutputName}), "axis", 1);
  graph.mutable_output(0)->set_name(kProbabilities);
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
  const std::string image = std::string(kImageName) + (options.pixels ? ".normalised" : "");
  const net::Shape& shape = graph.input;
  Describe(*target.add_input(), image, options.batch, {shape.c, shape.h, shape.w});
  Describe(*target.add_output(), kOutputName, options.batch, {graph.nodes.back().out.c});
  WriteGraph(graph, weights,
             {.opset = options.opset, .image = image, .quantization = options.quantization},
             target);
  if (options.half) ToHalf(model, network.name);
  if (options.pixels) AddPixelInput(shape, *options.pixels, options.batch, target);
  if (options.softmax) AddSoftmax(target);
  return model;
}

pb::ModelProto Parse(const std::filesystem::path& path) {
  pb::ModelProto model;
  if (!model.ParseFromString(ReadFile(path)) || !model.has_graph()) {
    throw Error(ErrorKind::kInput, "{}: not an ONNX model", path.string());
  }
  return model;
}

void CheckOptions(const net::Network& network, const ExportOptions& options) {
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
  if (options.pixels && network.input.c > static_cast<int>(options.pixels->mean.size())) {
    throw Error(ErrorKind::kInput,
                "ONNX export: pixels have at most {} channels, '{}' takes {}; export it without "
                "preprocessing",
                options.pixels->mean.size(), network.name, network.input.c);
  }
}

// A checked model that one file can hold.
pb::ModelProto MakeModel(const net::Network& network, const net::Weights& weights,
                         const ExportOptions& options) {
  CheckOptions(network, options);
  const net::Graph graph = net::Lower(network);
  net::CheckWeights(graph, weights);
  try {
    pb::ModelProto model = BuildModel(network, graph, weights, options);
    pb::checker::check_model(model);
    if (model.ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int>::max())) {
      throw Error(ErrorKind::kInput, "ONNX export: '{}' is {} MB; one ONNX file holds 2 GB",
                  network.name, model.ByteSizeLong() >> 20);
    }
    return model;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorKind::kInternal, "ONNX export of '{}': the checker refuses the model: {}",
                network.name, e.what());
  }
}

// Lets protobuf write a file piece by piece: large networks are in memory often enough.
class FileStream : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit FileStream(AtomicFile& file) : file_(file) {}
  bool Write(const void* buffer, int size) override {
    file_.Write({static_cast<const char*>(buffer), static_cast<size_t>(size)});
    return true;
  }

 private:
  AtomicFile& file_;
};

}  // namespace

std::string ToOnnx(const net::Network& network, const net::Weights& weights,
                   const ExportOptions& options) {
  return MakeModel(network, weights, options).SerializeAsString();
}

void ExportOnnx(const std::filesystem::path& path, const net::Network& network,
                const net::Weights& weights, const ExportOptions& options) {
  const pb::ModelProto model = MakeModel(network, weights, options);
  AtomicFile file(path);
  {
    FileStream stream(file);
    google::protobuf::io::CopyingOutputStreamAdaptor adaptor(&stream);
    if (!model.SerializeToZeroCopyStream(&adaptor)) {
      throw Error(ErrorKind::kInternal, "{}: protobuf could not write the model", path.string());
    }
  }
  file.Commit();
}

std::map<std::string, std::string> ReadMetadata(const std::filesystem::path& path) {
  const pb::ModelProto model = Parse(path);
  std::map<std::string, std::string> metadata;
  for (const pb::StringStringEntryProto& entry : model.metadata_props()) {
    metadata.emplace(entry.key(), entry.value());
  }
  return metadata;
}

FileForm ReadForm(const std::filesystem::path& path) {
  const pb::ModelProto model = Parse(path);
  if (model.graph().input_size() == 0) {
    throw Error(ErrorKind::kInput, "{}: this ONNX model has no input", path.string());
  }
  const pb::TypeProto_Tensor& type = model.graph().input(0).type().tensor_type();
  FileForm form{.lengths = {}, .pixels = type.elem_type() == pb::TensorProto::UINT8};
  for (const auto& dim : type.shape().dim()) {
    form.lengths.push_back(static_cast<int>(dim.dim_value()));
  }
  const auto& outputs = model.graph().output();
  form.softmax = !outputs.empty() && outputs[0].name() == kProbabilities;
  return form;
}

}  // namespace lathe::onnx
