#include "net/zoo_torchvision.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace lathe::net {
namespace {

// Appends layers to a network whose blocks share norm and SE gate, numbering the stages.
class FamilyBuilder {
 public:
  FamilyBuilder(const FamilyOptions& options, float bn_eps)
      : width_(options.width), bn_eps_(bn_eps) {
    network_.input = shape_ = options.input;
  }

  int channels() const { return shape_.c; }
  int Scale(int channels) const { return RoundChannels(channels * width_); }
  void NextStage() { ++stage_; }

  Layer Start(Op op, int out_channels, int kernel, int stride) const {
    Layer layer;
    layer.op = op;
    layer.in = shape_;
    layer.out_channels = out_channels;
    layer.kernel = kernel;
    layer.stride = stride;
    layer.bn_eps = bn_eps_;
    layer.stage = stage_;
    return layer;
  }

  void Conv(Layer layer) { Push(layer); }

  // An inverted bottleneck, which adds its input wherever the shapes allow it.
  void Inverted(Layer layer, int mid_channels) {
    layer.mid_channels = mid_channels;
    if (layer.op == Op::kIrb) layer.expand = mid_channels != shape_.c;
    AddInput(layer);
    Push(layer);
  }

  static void AddInput(Layer& layer) {
    layer.residual = layer.stride == 1 && layer.in.c == layer.out_channels;
  }

  Network Finish(Layer tail, int mid_channels) {
    tail.mid_channels = mid_channels;
    tail.stage = stage_ + 1;
    network_.layers.push_back(tail);
    return std::move(network_);
  }

 private:
  void Push(const Layer& layer) {
    network_.layers.push_back(layer);
    shape_ = layer.out();
  }

  const double width_;
  const float bn_eps_;
  Network network_;
  Shape shape_;
  int stage_ = 0;
};

constexpr float kTorchEps = 1e-5f;
constexpr float kTensorflowEps = 1e-3f;

// ---- MobileNetV3 ----

constexpr Activation kRe = Activation::kRelu;
constexpr Activation kHs = Activation::kHardSwish;

struct V3Row {
  int kernel, mid, out;
  bool se;
  Activation act;
  int stride;
};

constexpr V3Row kV3Large[] = {
    {3, 16, 16, false, kRe, 1},  {3, 64, 24, false, kRe, 2},  {3, 72, 24, false, kRe, 1},
    {5, 72, 40, true, kRe, 2},   {5, 120, 40, true, kRe, 1},  {5, 120, 40, true, kRe, 1},
    {3, 240, 80, false, kHs, 2}, {3, 200, 80, false, kHs, 1}, {3, 184, 80, false, kHs, 1},
    {3, 184, 80, false, kHs, 1}, {3, 480, 112, true, kHs, 1}, {3, 672, 112, true, kHs, 1},
    {5, 672, 160, true, kHs, 2}, {5, 960, 160, true, kHs, 1}, {5, 960, 160, true, kHs, 1},
};

constexpr V3Row kV3Small[] = {
    {3, 16, 16, true, kRe, 2},  {3, 72, 24, false, kRe, 2}, {3, 88, 24, false, kRe, 1},
    {5, 96, 40, true, kHs, 2},  {5, 240, 40, true, kHs, 1}, {5, 240, 40, true, kHs, 1},
    {5, 120, 48, true, kHs, 1}, {5, 144, 48, true, kHs, 1}, {5, 288, 96, true, kHs, 2},
    {5, 576, 96, true, kHs, 1}, {5, 576, 96, true, kHs, 1},
};

Network MobileNetV3(const FamilyOptions& options, std::span<const V3Row> rows,
                    int hidden_channels) {
  FamilyBuilder builder(options, kTensorflowEps);
  Layer stem = builder.Start(Op::kConv, builder.Scale(16), 3, 2);
  stem.act = kHs;
  builder.Conv(stem);
  for (const V3Row& row : rows) {
    if (row.stride == 2 || builder.channels() != builder.Scale(row.out)) builder.NextStage();
    const int mid = builder.Scale(row.mid);
    Layer layer = builder.Start(Op::kIrb, builder.Scale(row.out), row.kernel, row.stride);
    layer.act = row.act;
    if (row.se) layer.se_channels = RoundChannels(static_cast<double>(mid / 4));
    layer.se_act = Activation::kRelu;
    layer.se_gate = Activation::kHardSigmoid;
    builder.Inverted(layer, mid);
  }
  Layer tail = builder.Start(Op::kTail, options.classes, 1, 1);
  tail.act = kHs;
  tail.hidden_channels = builder.Scale(hidden_channels);
  tail.hidden_act = kHs;
  return builder.Finish(tail, 6 * builder.channels());
}

// ---- EfficientNet ----

struct EfficientRow {
  bool fused;
  int expansion, kernel, stride, out, layers;
};

constexpr EfficientRow kB0[] = {
    {false, 1, 3, 1, 16, 1},  {false, 6, 3, 2, 24, 2},  {false, 6, 5, 2, 40, 2},
    {false, 6, 3, 2, 80, 3},  {false, 6, 5, 1, 112, 3}, {false, 6, 5, 2, 192, 4},
    {false, 6, 3, 1, 320, 1},
};

constexpr EfficientRow kV2S[] = {
    {true, 1, 3, 1, 24, 2},   {true, 4, 3, 2, 48, 4},   {true, 4, 3, 2, 64, 4},
    {false, 4, 3, 2, 128, 6}, {false, 6, 3, 1, 160, 9}, {false, 6, 3, 2, 256, 15},
};

void EfficientBlock(FamilyBuilder& builder, const EfficientRow& row, int stride) {
  const int in = builder.channels();
  const int mid = RoundChannels(in * row.expansion);
  const bool plain = row.fused && mid == in;  // a fused block without expansion is one convolution
  const Op op = plain ? Op::kConv : row.fused ? Op::kFusedIrb : Op::kIrb;
  Layer layer = builder.Start(op, builder.Scale(row.out), row.kernel, stride);
  layer.act = Activation::kSwish;
  if (plain) {
    FamilyBuilder::AddInput(layer);
    return builder.Conv(layer);
  }
  if (!row.fused) {
    layer.se_channels = std::max(1, in / 4);
    layer.se_act = Activation::kSwish;
  }
  builder.Inverted(layer, mid);
}

struct EfficientFamily {
  std::span<const EfficientRow> rows;
  int stem = 0;
  int tail = 0;  // width of the last convolution; 0: four times its input
  float bn_eps = 0;
};

Network EfficientNet(const FamilyOptions& options, const EfficientFamily& family) {
  FamilyBuilder builder(options, family.bn_eps);
  Layer stem = builder.Start(Op::kConv, builder.Scale(family.stem), 3, 2);
  stem.act = Activation::kSwish;
  builder.Conv(stem);
  for (const EfficientRow& row : family.rows) {
    builder.NextStage();
    for (int i = 0; i < row.layers; ++i) EfficientBlock(builder, row, i == 0 ? row.stride : 1);
  }
  Layer tail = builder.Start(Op::kTail, options.classes, 1, 1);
  tail.act = Activation::kSwish;
  return builder.Finish(tail,
                        family.tail > 0 ? builder.Scale(family.tail) : 4 * builder.channels());
}

}  // namespace

Network MobileNetV2(const FamilyOptions& options) {
  struct Row {
    int expansion, out, layers, stride;
  };
  constexpr Row kRows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                           {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  FamilyBuilder builder(options, kTorchEps);
  Layer stem = builder.Start(Op::kConv, builder.Scale(32), 3, 2);
  stem.act = Activation::kRelu6;
  builder.Conv(stem);
  for (const Row& row : kRows) {
    builder.NextStage();
    for (int i = 0; i < row.layers; ++i) {
      Layer layer = builder.Start(Op::kIrb, builder.Scale(row.out), 3, i == 0 ? row.stride : 1);
      layer.act = Activation::kRelu6;
      builder.Inverted(layer, builder.channels() * row.expansion);
    }
  }
  Layer tail = builder.Start(Op::kTail, options.classes, 1, 1);
  tail.act = Activation::kRelu6;
  return builder.Finish(tail, RoundChannels(1280 * std::max(1.0, options.width)));
}

Network MobileNetV3Large(const FamilyOptions& options) {
  return MobileNetV3(options, kV3Large, 1280);
}

Network MobileNetV3Small(const FamilyOptions& options) {
  return MobileNetV3(options, kV3Small, 1024);
}

Network EfficientNetB0(const FamilyOptions& options) {
  return EfficientNet(options, {.rows = kB0, .stem = 32, .tail = 0, .bn_eps = kTorchEps});
}

Network EfficientNetV2S(const FamilyOptions& options) {
  return EfficientNet(options, {.rows = kV2S, .stem = 24, .tail = 1280, .bn_eps = kTensorflowEps});
}

}  // namespace lathe::net
