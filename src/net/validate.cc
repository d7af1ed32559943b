// What makes a network valid. The limits keep every product of sizes inside 64 bits, so that
// hostile files end in an error message here and never in an overflow or a huge allocation later.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "net/graph.h"
#include "net/network.h"

namespace lathe::net {
namespace {

constexpr int kMaxLayers = 512;
constexpr int kMaxKernel = 31;
constexpr int kMaxStride = 4;
constexpr int kMaxStage = 1000;
constexpr int64_t kMaxWeights = int64_t{1} << 28;  // of one operation: 1 GiB of float32
constexpr int64_t kMaxFeatures = int64_t{1} << 31;

class LayerCheck {
 public:
  LayerCheck(const Network& network, size_t index)
      : network_(network), layer_(network.layers[index]), index_(index) {}

  void Run(const Shape& previous) const {
    CheckShape(previous);
    CheckNumbers();
    CheckUnusedFields();
    if (layer_.op == Op::kTail) {
      CheckTail();
    } else {
      CheckBlock();
    }
    CheckSizes();
  }

 private:
  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kInput, "network '{}', layer {} ({}): {}", network_.name, index_,
                Name(layer_.op), fmt::format(format, std::forward<Args>(args)...));
  }

  void CheckRange(std::string_view what, int value, int min, int max) const {
    if (value < min || value > max) Fail("{} is {}, allowed is {} to {}", what, value, min, max);
  }

  void CheckDivides(std::string_view what, int channels) const {
    if (channels % layer_.groups != 0)
      Fail("{} ({}) is not a multiple of groups ({})", what, channels, layer_.groups);
  }

  void CheckShape(const Shape& previous) const {
    const Shape& in = layer_.in;
    if (in != previous) {
      Fail("in is {}x{}x{} (channels x height x width), but {} {}x{}x{}", in.c, in.h, in.w,
           index_ == 0 ? "the network's input is" : "the layer before gives", previous.c,
           previous.h, previous.w);
    }
  }

  void CheckNumbers() const {
    CheckRange("out_channels", layer_.out_channels, 1, kMaxChannels);
    CheckRange("kernel", layer_.kernel, 1, kMaxKernel);
    if (layer_.kernel % 2 == 0) Fail("kernel is {}, only odd sizes are supported", layer_.kernel);
    CheckRange("stride", layer_.stride, 1, kMaxStride);
    CheckRange("groups", layer_.groups, 1, kMaxChannels);
    CheckRange("se_channels", layer_.se_channels, 0, kMaxChannels);
    CheckRange("hidden_channels", layer_.hidden_channels, 0, kMaxChannels);
    CheckRange("stage", layer_.stage, 0, kMaxStage);
    if (layer_.out().h < 1 || layer_.out().w < 1) {
      Fail("an image of {}x{} is smaller than the kernel of {}", layer_.in.h, layer_.in.w,
           layer_.kernel);
    }
    if (!(layer_.bn_eps > 0.0f && layer_.bn_eps <= 0.1f)) {
      Fail("bn_eps is {}, it must be above 0 and at most 0.1", layer_.bn_eps);
    }
  }

  // A value that the operation would silently ignore is a mistake in the file.
  void CheckUnusedFields() const {
    const bool inverted = layer_.op == Op::kIrb || layer_.op == Op::kFusedIrb;
    const bool tail = layer_.op == Op::kTail;
    if (layer_.op == Op::kConv && layer_.mid_channels != 0)
      Fail("mid_channels has no meaning here, leave it out");
    if (!inverted && layer_.se_channels != 0) Fail("se_channels has no meaning here, leave it out");
    if ((tail || layer_.op == Op::kFusedIrb) && layer_.groups != 1)
      Fail("groups has no meaning here, leave it out");
    if (layer_.op != Op::kIrb && !layer_.expand) Fail("expand = false has a meaning for irb only");
    if (!tail && layer_.hidden_channels != 0) Fail("hidden_channels has a meaning for tail only");
    if (tail && layer_.stride != 1) Fail("stride has no meaning here, leave it out");
    if (tail && layer_.residual) Fail("a tail cannot add its input, leave residual out");
  }

  void CheckTail() const { CheckRange("mid_channels", layer_.mid_channels, 1, kMaxChannels); }

  void CheckBlock() const {
    if (layer_.op != Op::kConv) CheckRange("mid_channels", layer_.mid_channels, 1, kMaxChannels);
    if (!layer_.expand && layer_.mid_channels != layer_.in.c) {
      Fail("without an expansion mid_channels ({}) must equal the input's channels ({})",
           layer_.mid_channels, layer_.in.c);
    }
    CheckDivides("out_channels", layer_.out_channels);
    if (layer_.expand) CheckDivides("the input's channel count", layer_.in.c);
    if (layer_.op == Op::kIrb) CheckDivides("mid_channels", layer_.mid_channels);
    if (layer_.residual && (layer_.stride != 1 || layer_.in != layer_.out())) {
      const Shape& in = layer_.in;
      const Shape out = layer_.out();
      Fail(
          "residual needs stride 1 and an output of the input's shape (stride {}, {}x{}x{} in, "
          "{}x{}x{} out)",
          layer_.stride, in.c, in.h, in.w, out.c, out.h, out.w);
    }
    // SAME pads rows and columns of different parity differently; a node holds one padding for
    // both.
    if (layer_.padding == Padding::kSame && SamePad(layer_.in.h) != SamePad(layer_.in.w)) {
      Fail(
          "SAME padding of a {}x{} image differs between rows and columns, use a square image or "
          "symmetric padding",
          layer_.in.h, layer_.in.w);
    }
  }

  int SamePad(int size) const {
    return std::max(0, (size - 1) / layer_.stride * layer_.stride + layer_.kernel - size);
  }

  void CheckSizes() const {
    for (const Node& node : LowerLayer(layer_, static_cast<int>(index_), 0, Node::kImage)) {
      const int64_t weights =
          int64_t{node.in.c} / node.groups * node.kernel * node.kernel * node.out.c;
      const bool weighted = node.kind == NodeKind::kConv || node.kind == NodeKind::kLinear;
      if (weighted && weights > kMaxWeights)
        Fail("{} needs {} weights, more than {}", node.name, weights, kMaxWeights);
      const int64_t features = int64_t{node.out.c} * node.out.h * node.out.w;
      if (features > kMaxFeatures)
        Fail("{} gives {} values, more than {}", node.name, features, kMaxFeatures);
    }
  }

  const Network& network_;
  const Layer& layer_;
  size_t index_;
};

}  // namespace

void Validate(const Network& network) {
  const auto [c, h, w] = network.input;
  if (c < 1 || c > kMaxChannels || h < 1 || h > kMaxPixels || w < 1 || w > kMaxPixels) {
    throw Error(ErrorKind::kInput,
                "network '{}': input is {}x{}x{} (channels x height x width), allowed are 1 to {} "
                "channels and 1 to {} pixels",
                network.name, c, h, w, kMaxChannels, kMaxPixels);
  }
  if (network.layers.empty() || network.layers.size() > kMaxLayers) {
    throw Error(ErrorKind::kInput, "network '{}' has {} layers, allowed are 1 to {}", network.name,
                network.layers.size(), kMaxLayers);
  }
  Shape shape = network.input;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const bool last = i + 1 == network.layers.size();
    if ((network.layers[i].op == Op::kTail) != last) {
      throw Error(ErrorKind::kInput, "network '{}', layer {} ({}): {}", network.name, i,
                  Name(network.layers[i].op),
                  last ? "the last layer must be a tail" : "a tail must be the last layer");
    }
    LayerCheck(network, i).Run(shape);
    shape = network.layers[i].out();
  }
}

}  // namespace lathe::net
