#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "latency/key_text.h"
#include "latency/lut.h"

namespace lathe::latency {
namespace {

using net::Activation;
using net::Op;

constexpr std::array kOps = {Op::kConv, Op::kFusedIrb, Op::kIrb, Op::kTail};
const std::string& TextOf(Op op) {
  static const auto kTexts = [] {  // made once, as for activations
    std::array<std::string, kOps.size()> texts;
    for (size_t i = 0; i < texts.size(); ++i) texts[i] = Dashed(net::Name(kOps[i]));
    return texts;
  }();
  return kTexts[std::find(kOps.begin(), kOps.end(), op) - kOps.begin()];
}

// "se8:relu:sigmoid"
bool ReadSe(std::string_view text, net::Layer& layer) {
  KeyReader part(text);
  if (!part.Skip("se")) return false;
  const auto channels = part.Int();
  if (!channels || !part.Skip(":")) return false;
  const auto act = part.Act();
  if (!act || !part.Skip(":")) return false;
  const auto gate = part.Act();
  if (!gate || !part.AtEnd()) return false;
  layer.se_channels = *channels;
  layer.se_act = *act;
  layer.se_gate = *gate;
  return true;
}

// "h256:relu" or "h256:relu:nobias"
bool ReadHidden(std::string_view text, net::Layer& layer) {
  KeyReader part(text);
  if (!part.Skip("h")) return false;
  const auto channels = part.Int();
  if (!channels || !part.Skip(":")) return false;
  const auto act = part.Act();
  if (!act) return false;
  layer.hidden_bias = !part.Skip(":nobias");
  if (!part.AtEnd()) return false;
  layer.hidden_channels = *channels;
  layer.hidden_act = *act;
  return true;
}

bool ReadPart(std::string_view text, net::Layer& layer) {
  if (text == net::Name(net::Padding::kSame)) {
    layer.padding = net::Padding::kSame;
  } else if (text == net::Name(net::Padding::kValid)) {
    layer.padding = net::Padding::kValid;
  } else if (text == "res") {
    layer.residual = true;
  } else if (text == "noexpand") {
    layer.expand = false;
    layer.mid_channels = layer.in.c;
  } else {
    return ReadActivation(text, layer.act) || ReadShape(text, "i", layer.in) ||
           ReadInt(text, "o", layer.out_channels) || ReadInt(text, "k", layer.kernel) ||
           ReadInt(text, "s", layer.stride) || ReadInt(text, "m", layer.mid_channels) ||
           ReadInt(text, "g", layer.groups) || ReadSe(text, layer) || ReadHidden(text, layer);
  }
  return true;
}

// SAME differs from symmetric padding, the default, only where the stride skips pixels.
bool PaddingMatters(const net::Layer& layer) {
  if (layer.kernel == 1) return false;
  return layer.padding == net::Padding::kValid ||
         (layer.padding == net::Padding::kSame && layer.stride > 1);
}

}  // namespace

LayerKey KeyOf(const net::Layer& layer) {
  LayerKey key;
  key.reserve(80);
  key += TextOf(layer.op);
  Append(key, "_i", layer.in.c);
  Append(key, "x", layer.in.h);
  Append(key, "x", layer.in.w);
  Append(key, "_o", layer.out_channels);
  const bool tail = layer.op == Op::kTail;
  const bool blocks = layer.op == Op::kIrb || layer.op == Op::kFusedIrb;
  if (!tail) {
    Append(key, "_k", layer.kernel);
    Append(key, "_s", layer.stride);
  }
  if (layer.op == Op::kIrb && !layer.expand) {
    key += "_noexpand";
  } else if (layer.op != Op::kConv) {
    Append(key, "_m", layer.mid_channels);
  }
  key.append("_").append(TextOf(layer.act));
  if (blocks && layer.se_channels > 0) {
    Append(key, "_se", layer.se_channels);
    key.append(":").append(TextOf(layer.se_act)).append(":").append(TextOf(layer.se_gate));
  }
  if ((layer.op == Op::kIrb || layer.op == Op::kConv) && layer.groups != 1)
    Append(key, "_g", layer.groups);
  if (!tail && PaddingMatters(layer)) key.append("_").append(net::Name(layer.padding));
  if (!tail && layer.residual) key += "_res";
  if (tail && layer.hidden_channels > 0) {
    Append(key, "_h", layer.hidden_channels);
    key.append(":").append(TextOf(layer.hidden_act));
    if (!layer.hidden_bias) key += ":nobias";
  }
  return key;
}

net::Layer LayerOf(const LayerKey& key) {
  const auto fail = [&key](std::string_view why) {
    return Error(ErrorKind::kInput,
                 "layer key '{}': {}; a key looks like "
                 "'irb_i24x14x14_o32_k3_s2_m96_swish_se8:relu:sigmoid'",
                 key, why);
  };
  const std::vector<std::string_view> parts = SplitKey(key);
  net::Layer layer;
  const auto op =
      std::find_if(kOps.begin(), kOps.end(), [&](Op o) { return TextOf(o) == parts[0]; });
  if (op == kOps.end()) throw fail(fmt::format("unknown operation '{}'", parts[0]));
  layer.op = *op;
  for (size_t i = 1; i < parts.size(); ++i) {
    if (!ReadPart(parts[i], layer)) throw fail(fmt::format("unknown part '{}'", parts[i]));
  }
  if (layer.in.c < 1 || layer.in.h < 1 || layer.in.w < 1 || layer.out_channels < 1 ||
      layer.kernel < 1 || layer.stride < 1 || layer.groups < 1) {
    throw fail("a shape, kernel, stride or group count is below 1");
  }
  // Catches what is missing, doubled, out of order or without meaning for the operation.
  if (const LayerKey canonical = KeyOf(layer); canonical != key) {
    throw fail(fmt::format("not in canonical form, which would be '{}'", canonical));
  }
  return layer;
}

}  // namespace lathe::latency
