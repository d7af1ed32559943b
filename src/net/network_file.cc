#include "net/network_file.h"

#include <fmt/ranges.h>

#include <array>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "net/gpunet_file.h"
#include "net/layer_fields.h"

namespace lathe::net {
namespace {

constexpr std::string_view kFormat = "lathe-network";
constexpr int kVersion = 1;
constexpr int kMaxInt = 1 << 30;  // Validate has the real limits

constexpr std::array kOps = {Op::kConv, Op::kFusedIrb, Op::kIrb, Op::kTail};
constexpr std::array kPaddings = {Padding::kSymmetric, Padding::kSame, Padding::kValid};
constexpr std::array kActivations = {
    Activation::kNone,      Activation::kRelu,    Activation::kRelu6,      Activation::kSwish,
    Activation::kHardSwish, Activation::kSigmoid, Activation::kHardSigmoid};

int ReadInt(const Config& table, std::string_view key, std::optional<int> fallback = {}) {
  IntOptions options{.min = 0, .max = kMaxInt};
  if (fallback) options.fallback = *fallback;
  return static_cast<int>(table.Int(key, options));
}

// One of the named `values`.
template <typename T, size_t n>
T ReadName(const Config& table, std::string_view key, const std::array<T, n>& values,
           std::optional<T> fallback = {}) {
  if (fallback && !table.Has(key)) return *fallback;
  std::array<std::string_view, n> names;
  for (size_t i = 0; i < n; ++i) names[i] = Name(values[i]);
  const std::string name = table.Choice(key, names);
  for (T value : values) {
    if (Name(value) == name) return value;
  }
  throw Error(ErrorKind::kInternal, "{}: no value is named '{}'", key, name);
}

Shape ReadShape(const Config& table, std::string_view key) {
  const std::vector<int64_t> values = table.Ints(key, {.min = 1, .max = kMaxInt});
  if (values.size() != 3) table.Fail(key, "expected three numbers: channels, height, width");
  return {static_cast<int>(values[0]), static_cast<int>(values[1]), static_cast<int>(values[2])};
}

Layer ReadLayer(const Config& table) {
  const Layer plain;
  Layer layer;
  layer.op = ReadName(table, "op", kOps);
  const bool tail = layer.op == Op::kTail;
  layer.in = ReadShape(table, "in");
  layer.out_channels = ReadInt(table, "out_channels");
  // What decides the costs must be written down; the rest may be left at its default.
  layer.kernel = tail ? ReadInt(table, "kernel", plain.kernel) : ReadInt(table, "kernel");
  layer.stride = tail ? ReadInt(table, "stride", plain.stride) : ReadInt(table, "stride");
  layer.groups = ReadInt(table, "groups", plain.groups);
  layer.mid_channels =
      layer.op == Op::kConv ? ReadInt(table, "mid_channels", 0) : ReadInt(table, "mid_channels");
  layer.expand = table.Bool("expand", plain.expand);
  layer.se_channels = ReadInt(table, "se_channels", plain.se_channels);
  layer.act = ReadName(table, "act", kActivations);
  layer.se_act = ReadName<Activation>(table, "se_act", kActivations, plain.se_act);
  layer.se_gate = ReadName<Activation>(table, "se_gate", kActivations, plain.se_gate);
  layer.padding = ReadName<Padding>(table, "padding", kPaddings, plain.padding);
  layer.residual = table.Bool("residual", plain.residual);
  layer.hidden_channels = ReadInt(table, "hidden_channels", plain.hidden_channels);
  layer.hidden_bias = table.Bool("hidden_bias", plain.hidden_bias);
  layer.hidden_act = ReadName<Activation>(table, "hidden_act", kActivations, plain.hidden_act);
  layer.bn_eps =
      static_cast<float>(table.Real("bn_eps", {.fallback = plain.bn_eps, .min = 0, .max = 1}));
  layer.stage = ReadInt(table, "stage", plain.stage);
  table.Finish();
  return layer;
}

Network ParseLathe(std::string_view json, std::string_view source) {
  const ConfigFile document = ConfigFile::ParseJson(json, source);
  const Config root = document.root();
  const std::array formats = {kFormat};
  root.Choice("format", formats);
  if (const int version = ReadInt(root, "version"); version != kVersion) {
    root.Fail("version",
              fmt::format("this program reads version {}, the file has {}", kVersion, version));
  }
  Network network;
  network.name = root.String("name");
  network.input = ReadShape(root, "input");
  const std::vector<Config> tables = root.Tables("layers");
  root.Finish();
  for (const Config& table : tables) network.layers.push_back(ReadLayer(table));
  return network;
}

Network Parse(std::string_view json, std::string_view source, std::string_view name) {
  const size_t start = json.find_first_not_of(" \t\r\n");
  const bool list = start != std::string_view::npos && json[start] == '[';
  const Network network = list ? ParseGpunet(json, source, name) : ParseLathe(json, source);
  try {
    Validate(network);
  } catch (const Error& error) {
    throw Error(error.kind(), "{}: {}", source, error.what());
  }
  return network;
}

}  // namespace

Network ReadNetwork(const std::filesystem::path& path) {
  return Parse(ReadFile(path), path.string(), path.stem().string());
}

Network ParseNetwork(std::string_view json, std::string_view name) {
  return Parse(json, name, name);
}

std::string ToJson(const Network& network) {
  std::vector<std::string> layers;
  for (const Layer& layer : network.layers) {
    std::vector<std::string> fields;
    for (const auto& [key, value] : LayerFields(layer))
      fields.push_back(fmt::format("\"{}\": {}", key, value));
    layers.push_back(fmt::format("    {{{}}}", fmt::join(fields, ", ")));
  }
  const Shape& input = network.input;
  return fmt::format(
      "{{\n  \"format\": \"{}\",\n  \"version\": {},\n  \"name\": {},\n  \"input\": [{}, {}, "
      "{}],\n  \"layers\": [\n{}\n  "
      "]\n}}\n",
      kFormat, kVersion, QuoteJson(network.name), input.c, input.h, input.w,
      fmt::join(layers, ",\n"));
}

}  // namespace lathe::net
