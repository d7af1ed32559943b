// A network: a concrete list of layers (blocks) with resolved shapes and widths. Wider than any
// space: the released GPUNets, MobileNets and EfficientNets are networks too. A value type; it
// holds no weights.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::net {

// Channels, height, width of one image's feature map.
struct Shape {
  int c = 0, h = 0, w = 0;
  auto operator<=>(const Shape&) const = default;
};

enum class Activation { kNone, kRelu, kRelu6, kSwish, kHardSwish, kSigmoid, kHardSigmoid };
enum class Op { kConv, kFusedIrb, kIrb, kTail };
// kSymmetric: PyTorch's k/2 on every side. kSame: TensorFlow's SAME, the extra pixel below and
// right (differs at stride 2). kValid: none. NVIDIA's GPUNet builder asks for SAME in fused blocks,
// but gets VALID at stride 2: only with it do the released GPUNets have their MACs (GPUNet-0:
// 3.254 G; SAME would give 3.309 G).
enum class Padding { kSymmetric, kSame, kValid };

constexpr int kMaxPixels = 4096;     // of an input, per side
constexpr int kMaxChannels = 65536;  // of a layer

std::string_view Name(Activation activation);  // "relu", "swish", ...
std::string_view Name(Op op);                  // "conv", "fused_irb", "irb", "tail"
std::string_view Name(Padding padding);        // "symmetric", "same", "valid"

// One block. Widths are absolute channel counts (expansions are resolved when a network is built).
//   conv:      k x k convolution, batch norm, activation, [+ input]
//   fused_irb: k x k to mid, norm, act, [SE], 1x1 to out, norm, [+ input]
//   irb:       [1x1 to mid, norm, act], k x k depthwise, norm, act, [SE], 1x1 to out, norm,
//              [+ input]
//   tail:      1x1 to mid, norm, act, global average pool, [linear to hidden, act],
//              linear to classes
struct Layer {
  Op op = Op::kConv;
  Shape in;
  int out_channels = 0;  // tail: number of classes
  int kernel = 3;
  int stride = 1;
  int groups = 1;        // of the 1x1 convolutions of an irb (GPUNet-D) and of a conv
  int mid_channels = 0;  // fused_irb, irb: expanded width; tail: width of its convolution
  bool expand = true;  // irb: whether the 1x1 expansion exists (MobileNetV2's first block has none)
  int se_channels = 0;  // squeeze width; 0: no squeeze-and-excitation
  Activation act = Activation::kRelu;
  Activation se_act = Activation::kRelu;
  Activation se_gate = Activation::kSigmoid;
  Padding padding = Padding::kSymmetric;
  bool residual = false;    // adds the input: needs stride 1 and in.c == out_channels
  int hidden_channels = 0;  // tail: width of the optional hidden linear layer
  bool hidden_bias = true;  // tail
  Activation hidden_act = Activation::kRelu;  // tail
  float bn_eps = 1e-3f;
  int stage = 0;  // the stage it came from, for display; not part of what it computes

  Shape out() const;  // of the block; tail: {classes, 1, 1}
  bool operator==(const Layer&) const = default;
};

struct Network {
  std::string name;
  Shape input;                // of one image, for example {3, 224, 224}
  std::vector<Layer> layers;  // the last one is the tail
  bool operator==(const Network&) const = default;
  int num_classes() const;
};

// What a network costs. `macs`: multiply-accumulates of convolutions and linear layers for one
// image, as in the GPUNet tables (norms, activations and squeeze averages not counted, SE's 1x1
// convolutions counted). `params`: trainable ones.
struct Costs {
  int64_t params = 0;
  int64_t macs = 0;
};
Costs Count(const Network& network);
Costs Count(const Layer& layer);

// Recomputes every layer's `in` for a new image shape (also a new channel count), keeping widths.
// Throws kInput when a layer would get an empty image.
Network WithInput(const Network& network, Shape input);
// The same network for another number of classes.
Network WithClasses(const Network& network, int classes);

// Throws kInput, naming the layer and the reason, unless shapes chain, divisibility holds and every
// value is in range.
void Validate(const Network& network);

// channels rounded to a multiple of `divisor`, never below 90 % of `value` (MobileNet's
// make_divisible).
int RoundChannels(double value, int divisor = 8);

}  // namespace lathe::net
