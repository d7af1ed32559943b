#include "latency/import_ofa.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "latency/stats.h"

namespace lathe::latency {
namespace {

using net::Activation;

constexpr int kFirstKernel = 3;  // of the networks these tables are of

struct Timing {
  double latency_us = 0;
  double spread = 0;
  int samples = 1;
  std::string where;  // "FILE:LINE"
};

// "expanded_conv-input:20x20x48-output:10x10x96-expand:144-..."
struct OfaKey {
  std::string type;
  std::map<std::string, std::vector<int>, std::less<>> values;

  // The only number of `name`.
  std::optional<int> Int(std::string_view name) const {
    const auto found = values.find(name);
    if (found == values.end() || found->second.size() != 1) return {};
    return found->second.front();
  }
  bool Flag(std::string_view name) const { return Int(name).value_or(0) != 0; }
  // Written as height, width, channels.
  std::optional<net::Shape> Shape(std::string_view name) const {
    const auto found = values.find(name);
    if (found == values.end() || found->second.size() != 3) return {};
    const std::vector<int>& v = found->second;
    if (std::ranges::min(v) < 1) return {};
    return net::Shape{v[2], v[0], v[1]};
  }
};

std::optional<std::vector<int>> ReadNumbers(std::string_view text) {
  std::vector<int> numbers;
  for (;;) {
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), numbers.emplace_back());
    if (error != std::errc()) return {};
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.empty()) return numbers;
    if (text.front() != 'x') return {};
    text.remove_prefix(1);
  }
}

std::optional<OfaKey> ReadOfaKey(std::string_view text) {
  OfaKey key;
  for (bool first = true;; first = false) {
    const size_t dash = std::min(text.find('-'), text.size());
    const std::string_view piece = text.substr(0, dash);
    if (first) {
      key.type = piece;
    } else {
      const size_t colon = piece.find(':');
      if (colon == std::string_view::npos) return {};
      const auto numbers = ReadNumbers(piece.substr(colon + 1));
      if (!numbers) return {};
      key.values.emplace(piece.substr(0, colon), *numbers);
    }
    if (dash == text.size()) return key;
    text.remove_prefix(dash + 1);
  }
}

class OfaReader {
 public:
  void Add(const std::filesystem::path& path);
  OfaTable Finish();

 private:
  struct Piece {
    OfaKey key;
    const Timing* timing;
    std::string text;
  };

  Timing ReadTiming(const std::string& key, const YAML::Node& value, const std::string& where);
  void LeaveOut(const std::string& key, const std::string& why) {
    table_.left_out[why].push_back(key);
  }
  void Insert(const std::string& key, const net::Layer& layer, const Timing& timing);
  void AddBlock(const Piece& piece);
  void AddFirst(const Piece& piece);
  void AddTails();
  void AddTail(const Piece& conv, net::Shape in, net::Shape out);
  // Pieces of a type whose input is `shape`.
  std::vector<const Piece*> After(const std::string& type, net::Shape shape) const;

  std::map<std::string, Timing> timings_;  // by key as written
  std::map<std::string, std::vector<Piece>> pieces_;
  std::vector<const Piece*> used_;  // in tails
  bool once_for_all_ = false;
  OfaTable table_;
};

Timing OfaReader::ReadTiming(const std::string& key, const YAML::Node& value,
                             const std::string& where) {
  const auto number = [&](const char* name, std::optional<double> fallback) {
    const YAML::Node node = value[name];
    if (!node && fallback) return *fallback;
    double result = 0;
    if (!node || !YAML::convert<double>::decode(node, result)) {
      throw Error(ErrorKind::kInput, "{}: '{}' needs '{}', a number", where, key, name);
    }
    return result;
  };
  if (!value.IsMap())
    throw Error(ErrorKind::kInput, "{}: '{}' needs count, mean and std", where, key);
  const double mean = number("mean", {});
  const double deviation = number("std", 0.0);
  const double count = number("count", 1.0);
  if (!std::isfinite(mean) || mean <= 0) {
    throw Error(ErrorKind::kInput, "{}: mean of '{}' is {}, not milliseconds above 0", where, key,
                mean);
  }
  if (!std::isfinite(deviation) || deviation < 0 || !(count >= 1 && count <= 1 << 30)) {
    throw Error(ErrorKind::kInput, "{}: count or std of '{}' is impossible", where, key);
  }
  return {.latency_us = 1000 * mean,
          .spread = kNormalSpread * deviation / mean,
          .samples = static_cast<int>(count),
          .where = where};
}

void OfaReader::Add(const std::filesystem::path& path) {
  YAML::Node root;
  try {
    root = YAML::Load(ReadFile(path));
  } catch (const YAML::Exception& error) {
    throw Error(ErrorKind::kInput, "{}:{}: not YAML: {}", path.string(), error.mark.line + 1,
                error.msg);
  }
  if (!root.IsMap() || root.size() == 0) {
    throw Error(ErrorKind::kInput,
                "{}: not a latency table: expected keys such as "
                "'Conv-input:224x224x3-output:112x112x32'",
                path.string());
  }
  for (const auto& entry : root) {
    const std::string where = fmt::format("{}:{}", path.string(), entry.first.Mark().line + 1);
    if (!entry.first.IsScalar()) throw Error(ErrorKind::kInput, "{}: the key is no text", where);
    const std::string text = entry.first.Scalar();
    const Timing timing = ReadTiming(text, entry.second, where);
    const auto [before, added] = timings_.emplace(text, timing);
    if (!added && before->second.latency_us != timing.latency_us) {
      throw Error(ErrorKind::kInput,
                  "{}: '{}' takes {} ms here and {} ms at {}; keep the one that is right", where,
                  text, timing.latency_us / 1000, before->second.latency_us / 1000,
                  before->second.where);
    }
  }
}

void OfaReader::Insert(const std::string& key, const net::Layer& layer, const Timing& timing) {
  const LayerKey ours = KeyOf(layer);
  LutEntry entry{.layer = layer,
                 .latency_us = timing.latency_us,
                 .spread = timing.spread,
                 .samples = timing.samples};
  if (!table_.entries.emplace(ours, entry).second) LeaveOut(key, "the same layer as another key");
}

void OfaReader::AddBlock(const Piece& piece) {
  const OfaKey& key = piece.key;
  const auto in = key.Shape("input"), out = key.Shape("output");
  const auto expand = key.Int("expand"), kernel = key.Int("kernel"), stride = key.Int("stride");
  if (!in || !out || !expand || !kernel || !stride || *expand < 1 || *kernel < 1 || *stride < 1)
    return LeaveOut(piece.text, "a value is missing or impossible");
  net::Layer layer;
  layer.op = net::Op::kIrb;
  layer.in = *in;
  layer.out_channels = out->c;
  layer.kernel = *kernel;
  layer.stride = *stride;
  // A ratio is below any width that a block has.
  layer.mid_channels = *expand < in->c ? *expand * in->c : *expand;
  layer.expand = layer.mid_channels != in->c;
  layer.residual = key.Flag("idskip");
  layer.act = !once_for_all_   ? Activation::kRelu6
              : key.Flag("hs") ? Activation::kHardSwish
                               : Activation::kRelu;
  if (key.Flag("se")) {
    const int quarter = layer.mid_channels / 4;
    layer.se_channels = net::RoundChannels(quarter);
    layer.se_gate = Activation::kHardSigmoid;
  }
  if (*kernel % 2 == 0 || layer.out() != *out)
    return LeaveOut(piece.text, "output, kernel and stride do not fit");
  if (layer.residual && *in != *out)
    return LeaveOut(piece.text, "adds its input to an output of another shape");
  Insert(piece.text, layer, *piece.timing);
}

void OfaReader::AddFirst(const Piece& piece) {
  const auto in = piece.key.Shape("input"), out = piece.key.Shape("output");
  if (!in || !out) return LeaveOut(piece.text, "a value is missing or impossible");
  net::Layer layer;
  layer.in = *in;
  layer.out_channels = out->c;
  layer.kernel = kFirstKernel;
  layer.stride = (in->h + out->h - 1) / out->h;
  layer.act = once_for_all_ ? Activation::kHardSwish : Activation::kRelu6;
  if (layer.out() != *out) return LeaveOut(piece.text, "output, kernel and stride do not fit");
  Insert(piece.text, layer, *piece.timing);
}

std::vector<const OfaReader::Piece*> OfaReader::After(const std::string& type,
                                                      net::Shape shape) const {
  std::vector<const Piece*> found;
  const auto pieces = pieces_.find(type);
  if (pieces == pieces_.end()) return found;
  for (const Piece& piece : pieces->second) {
    if (piece.key.Shape("input") == shape) found.push_back(&piece);
  }
  return found;
}

void OfaReader::AddTail(const Piece& conv, net::Shape in, net::Shape out) {
  net::Layer layer;
  layer.op = net::Op::kTail;
  layer.in = in;
  layer.mid_channels = out.c;
  layer.act = once_for_all_ ? Activation::kHardSwish : Activation::kRelu6;
  const auto finish = [&](std::vector<const Piece*> pieces, const Piece& logits) {
    pieces.push_back(&logits);
    const std::optional<int> classes = logits.key.Int("output");
    if (!classes || *classes < 1) return;
    layer.out_channels = *classes;
    // Deviations of pieces that were timed apart add in squares.
    Timing sum = *pieces.front()->timing;
    double variance = std::pow(sum.spread * sum.latency_us, 2);
    for (size_t i = 1; i < pieces.size(); ++i) {
      const Timing& timing = *pieces[i]->timing;
      sum.latency_us += timing.latency_us;
      variance += std::pow(timing.spread * timing.latency_us, 2);
      sum.samples = std::min(sum.samples, timing.samples);
    }
    sum.spread = std::sqrt(variance) / sum.latency_us;
    Insert(logits.text, layer, sum);
    used_.insert(used_.end(), pieces.begin(), pieces.end());
  };
  if (!once_for_all_) {
    for (const Piece* logits : After("Logits", out)) finish({&conv}, *logits);
    return;
  }
  for (const Piece* pool : After("AvgPool2D", out)) {
    for (const Piece* hidden : After("Conv_2", {out.c, 1, 1})) {
      const auto width = hidden->key.Shape("output");
      if (!width) continue;
      layer.hidden_channels = width->c;
      layer.hidden_act = Activation::kHardSwish;
      for (const Piece* logits : After("Logits", *width)) finish({&conv, pool, hidden}, *logits);
    }
  }
}

void OfaReader::AddTails() {
  for (const Piece& conv : pieces_["Conv_1"]) {
    const auto in = conv.key.Shape("input"), out = conv.key.Shape("output");
    if (in && out && in->h == out->h && in->w == out->w) AddTail(conv, *in, *out);
  }
  for (const char* type : {"Conv_1", "AvgPool2D", "Conv_2", "Logits"}) {
    for (const Piece& piece : pieces_[type]) {
      if (std::ranges::find(used_, &piece) == used_.end())
        LeaveOut(piece.text, "a piece of a tail without the others");
    }
  }
}

OfaTable OfaReader::Finish() {
  table_.keys = static_cast<int64_t>(timings_.size());
  for (const auto& [text, timing] : timings_) {
    std::optional<OfaKey> key = ReadOfaKey(text);
    if (!key) {
      LeaveOut(text, "not a key of these tables");
      continue;
    }
    once_for_all_ |= key->type == "expanded_conv" && key->values.contains("se");
    pieces_[key->type].push_back({.key = std::move(*key), .timing = &timing, .text = text});
  }
  for (const auto& [type, pieces] : pieces_) {
    for (const Piece& piece : pieces) {
      if (type == "expanded_conv") {
        AddBlock(piece);
      } else if (type == "Conv") {
        AddFirst(piece);
      } else if (type != "Conv_1" && type != "AvgPool2D" && type != "Conv_2" && type != "Logits") {
        LeaveOut(piece.text, fmt::format("no layer of ours is called '{}'", type));
      }
    }
  }
  AddTails();
  return std::move(table_);
}

}  // namespace

OfaTable ReadOfaTable(std::span<const std::filesystem::path> paths) {
  OfaReader reader;
  for (const std::filesystem::path& path : paths) reader.Add(path);
  OfaTable table = reader.Finish();
  if (table.entries.empty()) {
    throw Error(ErrorKind::kInput, "{}: none of the {} keys is a layer of ours, such as '{}'",
                paths.front().string(), table.keys, table.left_out.begin()->second.front());
  }
  return table;
}

}  // namespace lathe::latency
