#include "net/gpunet_file.h"

#include <array>
#include <cmath>

#include "base/config.h"
#include "base/error.h"

namespace lathe::net {
namespace {

constexpr float kTorchEps = 1e-5f;  // what NVIDIA's distilled blocks leave at PyTorch's default
constexpr float kTimmEps = 1e-3f;
constexpr int kDistilledTailChannels = 1152;

constexpr std::array<std::string_view, 5> kDistillTypes = {"head", "head_large", "irb", "fused_irb",
                                                           "tail"};
constexpr std::array<std::string_view, 5> kPlainTypes = {"head", "conv", "irb", "fused_irb",
                                                         "tail"};
constexpr std::array<std::string_view, 2> kActs = {"relu", "swish"};

// ---- rows -> network ----

class GpunetBuilder {
 public:
  GpunetBuilder(const GpunetFile& file, std::string_view name) : distill_(file.distill) {
    network_.name = name;
    network_.input = {file.channels, file.resolution, file.resolution};
    shape_ = network_.input;
  }

  void Add(const GpunetRow& row) {
    switch (row.type) {
      case GpunetType::kHead:
        Conv(row, 2);
        break;
      case GpunetType::kHeadLarge:
        Conv(row, 2);
        Conv(row, 1);
        Conv(row, 1);
        break;
      case GpunetType::kConv:
        Conv(row, row.stride);
        break;
      case GpunetType::kIrb:
      case GpunetType::kFusedIrb:
        Inverted(row);
        break;
      case GpunetType::kTail:
        Tail(row);
        break;
    }
  }

  Network Finish() { return std::move(network_); }

 private:
  Layer Start(const GpunetRow& row, Op op) const {
    Layer layer;
    layer.op = op;
    layer.in = shape_;
    layer.out_channels = row.out_channels;
    layer.act = row.act;
    layer.bn_eps = distill_ ? kTorchEps : kTimmEps;
    layer.stage = row.stage;
    return layer;
  }

  void Push(const Layer& layer) {
    shape_ = layer.out();
    network_.layers.push_back(layer);
  }

  void Conv(const GpunetRow& row, int stride) {
    Layer layer = Start(row, Op::kConv);
    layer.kernel = row.kernel;
    layer.stride = stride;
    Push(layer);
  }

  void Inverted(const GpunetRow& row) {
    const bool fused = row.type == GpunetType::kFusedIrb;
    Layer layer = Start(row, fused ? Op::kFusedIrb : Op::kIrb);
    layer.kernel = row.kernel;
    layer.stride = row.stride;
    layer.groups = row.groups;
    const double mid = shape_.c * row.expansion;
    if (mid > kMaxChannels)
      Fail(row, fmt::format("expansion {} of {} channels is too wide", row.expansion, shape_.c));
    layer.mid_channels = distill_ ? static_cast<int>(mid) : RoundChannels(mid);
    layer.residual = row.stride == 1 && shape_.c == row.out_channels;
    // The builder asks for SAME, and its convolutions then have no padding unless SAME is symmetric
    // (see net/network.h).
    if (fused && !distill_ && row.stride > 1) layer.padding = Padding::kValid;
    if (fused) layer.bn_eps = kTimmEps;
    if (row.use_se) {
      // Python's round: halves go to the even neighbour, as nearbyint's do.
      layer.se_channels =
          static_cast<int>(std::nearbyint(layer.mid_channels * (0.25 / row.expansion)));
      layer.se_act = row.act;
      if (layer.se_channels < 1) Fail(row, "squeeze-and-excitation would have no channels");
    }
    Push(layer);
  }

  void Tail(const GpunetRow& row) {
    Layer layer = Start(row, Op::kTail);
    layer.out_channels = row.classes;
    layer.mid_channels = row.out_channels;
    if (distill_) {
      layer.mid_channels = kDistilledTailChannels;
      layer.hidden_channels = row.out_channels;
      layer.hidden_bias = false;
    }
    Push(layer);
  }

  [[noreturn]] static void Fail(const GpunetRow& row, std::string_view message) {
    throw Error(ErrorKind::kInput, "{}: {}", row.where, message);
  }

  const bool distill_;
  Network network_;
  Shape shape_;
};

// ---- JSON -> rows ----

int Int(const Config& table, std::string_view key, IntOptions options) {
  return static_cast<int>(table.Int(key, options));
}

GpunetType TypeOf(std::string_view name) {
  if (name == "head") return GpunetType::kHead;
  if (name == "head_large") return GpunetType::kHeadLarge;
  if (name == "conv") return GpunetType::kConv;
  if (name == "irb") return GpunetType::kIrb;
  if (name == "fused_irb") return GpunetType::kFusedIrb;
  return GpunetType::kTail;
}

Activation ReadAct(const Config& table, std::optional<std::string> fallback = {}) {
  return table.Choice("act", kActs, std::move(fallback)) == "swish" ? Activation::kSwish
                                                                    : Activation::kRelu;
}

void ReadBlock(const Config& table, bool distill, int in_channels, GpunetRow& row) {
  row.kernel = Int(table, "kernel_size", {.min = 1, .max = 31});
  if (row.kernel % 2 == 0)
    table.Fail("kernel_size", fmt::format("{} is even, only odd sizes are supported", row.kernel));
  row.stride = Int(table, "stride", {.min = 1, .max = 2});
  if (row.type == GpunetType::kConv) {
    row.act = ReadAct(table);
    return;
  }
  if (distill) {
    row.expansion = Int(table, "expansion", {.min = 1, .max = 64});
    row.groups = Int(table, "groups", {.min = 1, .max = kMaxChannels});
    // The builder reads a fused block's groups and builds with 1.
    if (row.type == GpunetType::kFusedIrb) row.groups = 1;
    if (in_channels % row.groups != 0 || row.out_channels % row.groups != 0) {
      table.Fail("groups", fmt::format("{} does not divide both channel counts, {} and {}",
                                       row.groups, in_channels, row.out_channels));
    }
  } else {
    row.expansion = table.Real("expansion", {.min = 0.01, .max = 64});
    row.act = ReadAct(table);
    row.use_se = table.Bool("use_se", false);
  }
}

// The released D2 file spells its tail's key "stage:".
int ReadStage(const Config& table, int fallback) {
  const std::string_view key = table.Has("stage:") ? "stage:" : "stage";
  return Int(table, key, {.fallback = fallback, .min = 0, .max = 1000});
}

GpunetRow ReadRow(const Config& table, const GpunetFile& file) {
  const bool first = file.rows.empty();
  GpunetRow row;
  row.where = table.Where();
  row.type = TypeOf(file.distill ? table.Choice("layer_type", kDistillTypes)
                                 : table.Choice("layer_type", kPlainTypes));
  const bool tail = row.type == GpunetType::kTail;
  const int in_channels = Int(table, "num_in_channels", {.min = 1, .max = kMaxChannels});
  row.out_channels = Int(table, "num_out_channels", {.min = 1, .max = kMaxChannels});
  if (!first && in_channels != file.rows.back().out_channels) {
    table.Fail("num_in_channels", fmt::format("is {}, but the layer before gives {} channels",
                                              in_channels, file.rows.back().out_channels));
  }
  if (!first && file.rows.back().type == GpunetType::kTail)
    table.Fail("layer_type", "nothing may follow the tail");
  row.stage = ReadStage(table, first ? 0 : file.rows.back().stage + (tail ? 1 : 0));
  switch (row.type) {
    case GpunetType::kHead:
    case GpunetType::kHeadLarge:
      if (!file.distill) row.act = ReadAct(table, "swish");
      break;
    case GpunetType::kTail:
      row.classes = Int(table, "num_classes", {.min = 1, .max = kMaxChannels});
      break;
    default:
      ReadBlock(table, file.distill, in_channels, row);
  }
  table.Finish();
  return row;
}

}  // namespace

Network BuildGpunet(const GpunetFile& file, std::string_view name) {
  GpunetBuilder builder(file, name);
  for (const GpunetRow& row : file.rows) builder.Add(row);
  return builder.Finish();
}

Network ParseGpunet(std::string_view json, std::string_view source, std::string_view name) {
  // The reader's documents are tables, NVIDIA's is a list. No newline is added, so that line
  // numbers stay true.
  const ConfigFile document = ConfigFile::ParseJson(fmt::format("{{\"layers\":{}}}", json), source);
  const Config root = document.root();
  const std::vector<Config> tables = root.Tables("layers");
  root.Finish();
  if (tables.size() < 2)
    throw Error(ErrorKind::kInput, "{}: a GPUNet list needs a data entry and layers", source);

  GpunetFile file;
  const Config& data = tables.front();
  const std::array<std::string_view, 1> data_type = {"data"};
  data.Choice("layer_type", data_type);
  file.resolution = Int(data, "img_resolution", {.min = 1, .max = kMaxPixels});
  file.distill = data.Bool("distill");
  data.Finish();
  file.channels = Int(tables[1], "num_in_channels", {.min = 1, .max = kMaxChannels});
  for (size_t i = 1; i < tables.size(); ++i) file.rows.push_back(ReadRow(tables[i], file));
  return BuildGpunet(file, name);
}

}  // namespace lathe::net
