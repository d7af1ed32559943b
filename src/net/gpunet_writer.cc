// Networks as NVIDIA's GPUNet lists: the inverse of gpunet_file.cc. Rather than repeat its rules as
// conditions, the writer reads its own text back and compares.
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"
#include "net/gpunet_file.h"
#include "net/layer_fields.h"
#include "net/network_file.h"

namespace lathe::net {
namespace {

[[noreturn]] void Fail(const Network& network, size_t layer, std::string_view message) {
  throw Error(ErrorKind::kInput,
              "network '{}', layer {} ({}) has no counterpart in a GPUNet file: {}", network.name,
              layer, Name(network.layers[layer].op), message);
}

int SqueezeChannels(int mid_channels, double expansion) {
  return static_cast<int>(std::nearbyint(mid_channels * (0.25 / expansion)));
}

// The shortest number from which the builder computes the layer's widths; the exact quotient where
// there is none.
double Expansion(const Layer& layer) {
  const double exact = static_cast<double>(layer.mid_channels) / layer.in.c;
  constexpr int kReach = 8;  // neighbours to try: the rounding of widths leaves an interval
  for (double steps : {1.0, 100.0, 1000.0}) {
    for (int i = 0; i <= 2 * kReach; ++i) {
      const int offset = i % 2 == 0 ? -i / 2 : (i + 1) / 2;
      const double expansion = (std::round(exact * steps) + offset) / steps;
      if (expansion <= 0 || RoundChannels(layer.in.c * expansion) != layer.mid_channels) continue;
      const bool squeeze_fits = layer.se_channels == 0 ||
                                SqueezeChannels(layer.mid_channels, expansion) == layer.se_channels;
      if (squeeze_fits) return expansion;
    }
  }
  return exact;
}

class Writer {
 public:
  explicit Writer(const Network& network) : network_(network), distill_(IsDistilled(network)) {}

  std::string Write() {
    rows_.push_back(fmt::format(R"({{"layer_type": "data", "img_resolution": {}, "distill": {}}})",
                                network_.input.h, distill_));
    size_t i = 0;
    if (distill_ && StartsWithLargeHead()) {
      Row(0, "head_large");
      i = 3;
    }
    for (; i < network_.layers.size(); ++i) Add(i);
    return fmt::format("[\n  {}\n]\n", fmt::join(rows_, ",\n  "));
  }

 private:
  static bool IsDistilled(const Network& network) {
    return network.layers.back().hidden_channels > 0;
  }

  static bool IsHead(const Layer& layer) {
    return layer.op == Op::kConv && layer.kernel == 3 && layer.stride == 2;
  }

  bool StartsWithLargeHead() const {
    const auto plain = [&](size_t i) {
      const Layer& layer = network_.layers[i];
      return layer.op == Op::kConv && layer.kernel == 3 && layer.stride == 1 &&
             layer.in.c == layer.out_channels;
    };
    return network_.layers.size() > 3 && IsHead(network_.layers[0]) && plain(1) && plain(2);
  }

  void Add(size_t i) {
    const Layer& layer = network_.layers[i];
    if (i == 0 && IsHead(layer)) return Row(i, "head", distill_ ? "" : ActField(i));
    if (layer.op == Op::kConv && distill_)
      Fail(network_, i, "a distilled GPUNet has no conv after its head");
    if (layer.op == Op::kConv) return Row(i, "conv", BlockFields(layer) + ActField(i));
    if (layer.op == Op::kTail)
      return Row(i, "tail", fmt::format(R"(, "num_classes": {})", layer.out_channels));
    std::string fields = BlockFields(layer);
    if (distill_) {
      fields += fmt::format(R"(, "expansion": {}, "groups": {})", layer.mid_channels / layer.in.c,
                            layer.groups);
    } else {
      fields += fmt::format(R"(, "expansion": {}{}, "use_se": {})", Expansion(layer), ActField(i),
                            layer.se_channels > 0);
    }
    Row(i, Name(layer.op), fields);
  }

  void Row(size_t i, std::string_view type, const std::string& fields = "") {
    const Layer& layer = network_.layers[i];
    int out = layer.out_channels;
    if (layer.op == Op::kTail) out = distill_ ? layer.hidden_channels : layer.mid_channels;
    rows_.push_back(fmt::format(
        R"({{"layer_type": "{}", "num_in_channels": {}, "num_out_channels": {}{}, "stage": {}}})",
        type, layer.in.c, out, fields, layer.stage));
  }

  static std::string BlockFields(const Layer& layer) {
    return fmt::format(R"(, "stride": {}, "kernel_size": {})", layer.stride, layer.kernel);
  }

  std::string ActField(size_t i) const {
    const Activation act = network_.layers[i].act;
    if (act != Activation::kRelu && act != Activation::kSwish) {
      Fail(network_, i, fmt::format("act is {}, NVIDIA's builder knows relu and swish", Name(act)));
    }
    return fmt::format(R"(, "act": "{}")", Name(act));
  }

  const Network& network_;
  const bool distill_;
  std::vector<std::string> rows_;
};

// Names what differs between a layer and what a reader of the written text would get.
void CheckLayer(const Network& network, size_t i, const Layer& read) {
  const Layer& wanted = network.layers[i];
  if (wanted == read) return;
  const auto read_fields = LayerFields(read);
  std::string message = "the values differ";
  for (const auto& [key, value] : LayerFields(wanted)) {
    for (const auto& [read_key, read_value] : read_fields) {
      if (key == read_key && value != read_value)
        message = fmt::format("{} is {}, NVIDIA's builder makes {}", key, value, read_value);
    }
  }
  Fail(network, i, message);
}

}  // namespace

std::string ToGpunetJson(const Network& network) {
  Validate(network);
  if (network.input.h != network.input.w) {
    throw Error(ErrorKind::kInput, "network '{}': GPUNet files describe square images, not {}x{}",
                network.name, network.input.h, network.input.w);
  }
  const std::string json = Writer(network).Write();
  const Network read = ParseGpunet(json, network.name, network.name);
  for (size_t i = 0; i < network.layers.size(); ++i) CheckLayer(network, i, read.layers.at(i));
  return json;
}

}  // namespace lathe::net
