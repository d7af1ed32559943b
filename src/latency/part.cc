#include "latency/part.h"

#include <array>
#include <string_view>

#include "base/error.h"
#include "latency/key_text.h"

namespace lathe::latency {
namespace {

using net::NodeKind;

constexpr std::array<std::pair<NodeKind, std::string_view>, 4> kKinds = {
    {{NodeKind::kConv, "conv"},
     {NodeKind::kPool, "pool"},
     {NodeKind::kScale, "scale"},
     {NodeKind::kLinear, "linear"}}};

bool ReadPiece(std::string_view text, Part& part) {
  if (text == "add") {
    part.add = true;
    return true;
  }
  const bool linear = part.kind == NodeKind::kLinear;
  if (linear && (ReadInt(text, "i", part.in.c) || ReadInt(text, "o", part.out.c))) return true;
  return ReadShape(text, "i", part.in) || ReadShape(text, "o", part.out) ||
         ReadInt(text, "k", part.kernel) || ReadInt(text, "s", part.stride) ||
         ReadInt(text, "g", part.groups) || ReadActivation(text, part.act);
}

}  // namespace

std::vector<Part> PartsOf(const net::Layer& layer) {
  std::vector<Part> parts;
  for (const net::Node& node : net::LowerLayer(layer, 0, 0, net::Node::kImage)) {
    if (node.kind == NodeKind::kAdd) {
      parts.back().add = true;
      continue;
    }
    parts.push_back({.kind = node.kind,
                     .in = node.in,
                     .out = node.out,
                     .kernel = node.kernel,
                     .stride = node.stride,
                     .groups = node.groups,
                     .act = node.act});
  }
  return parts;
}

PartKey KeyOf(const Part& part) {
  PartKey key;
  key.reserve(64);
  for (const auto& [kind, name] : kKinds) {
    if (kind == part.kind) key += name;
  }
  if (part.kind == NodeKind::kLinear) {
    Append(key, "_i", part.in.c);
    Append(key, "_o", part.out.c);
  } else {
    Append(key, "_i", part.in);
  }
  if (part.kind == NodeKind::kConv) {
    Append(key, "_o", part.out);
    Append(key, "_k", part.kernel);
    Append(key, "_s", part.stride);
    if (part.groups != 1) Append(key, "_g", part.groups);
  }
  if (part.act != net::Activation::kNone) key.append("_").append(TextOf(part.act));
  if (part.add) key += "_add";
  return key;
}

Part PartOf(const PartKey& key) {
  const auto fail = [&key](std::string_view why) {
    return Error(ErrorKind::kInput,
                 "part key '{}': {}; a key looks like 'conv_i24x14x14_o96x14x14_k1_s1_swish'", key,
                 why);
  };
  const std::vector<std::string_view> pieces = SplitKey(key);
  Part part;
  bool known = false;
  for (const auto& [kind, name] : kKinds) {
    if (name != pieces[0]) continue;
    part.kind = kind;
    known = true;
  }
  if (!known) throw fail(fmt::format("unknown kind '{}'", pieces[0]));
  if (part.kind == NodeKind::kLinear) part.in = part.out = {0, 1, 1};
  for (size_t i = 1; i < pieces.size(); ++i) {
    if (!ReadPiece(pieces[i], part)) throw fail(fmt::format("unknown piece '{}'", pieces[i]));
  }
  if (part.kind == NodeKind::kPool) part.out = {part.in.c, 1, 1};
  if (part.kind == NodeKind::kScale) part.out = part.in;
  const auto positive = [](const net::Shape& s) { return s.c > 0 && s.h > 0 && s.w > 0; };
  if (!positive(part.in) || !positive(part.out) || part.kernel < 1 || part.stride < 1 ||
      part.groups < 1 || part.in.c % part.groups != 0 || part.out.c % part.groups != 0) {
    throw fail("a shape, kernel, stride or group count is missing or impossible");
  }
  if (const PartKey canonical = KeyOf(part); canonical != key) {
    throw fail(fmt::format("not in canonical form, which would be '{}'", canonical));
  }
  return part;
}

double Values(const net::Shape& shape) { return double{1} * shape.c * shape.h * shape.w; }

double Weights(const Part& part) {
  const bool has = part.kind == NodeKind::kConv || part.kind == NodeKind::kLinear;
  return has ? double{1} * part.in.c / part.groups * part.kernel * part.kernel * part.out.c : 0;
}

double Macs(const Part& part) { return Weights(part) * part.out.h * part.out.w; }

}  // namespace lathe::latency
