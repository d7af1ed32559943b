// Space files: TOML to SearchSpace::Impl, and everything that can be wrong with them.
#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "space/impl.h"

namespace lathe::space {
namespace {

using net::Activation;
using net::Op;

constexpr int kMaxStages = 64;
constexpr int64_t kMaxChoices = 4096;
constexpr double kMaxBytes =
    2.0 * (1 << 30);  // of all weights, and of one feature map of one image
constexpr std::array kActivations = {Activation::kRelu, Activation::kRelu6, Activation::kSwish,
                                     Activation::kHardSwish};
constexpr std::array<std::string_view, 3> kPaddings = {"symmetric", "same", "valid"};
constexpr std::array<std::string_view, 3> kOps = {"conv", "fused_irb", "irb"};

IntOptions Allowed(GeneKind kind) {
  switch (kind) {
    case GeneKind::kResolution:
      return {.min = 1, .max = 4096};
    case GeneKind::kFilters:
      return {.min = 1, .max = 65536};
    case GeneKind::kKernel:
      return {.min = 1, .max = 31};
    case GeneKind::kExpansion:
      return {.min = 1, .max = 64};
    case GeneKind::kSe:
      return {.min = 0, .max = 1};
    case GeneKind::kLayers:
      return {.min = 0, .max = 256};
    case GeneKind::kActivation:
      break;  // has names, not numbers
  }
  return {};
}

int ReadActivation(const Config& table, std::string_view key, const std::string& text) {
  std::vector<std::string> names;
  for (Activation activation : kActivations) {
    names.emplace_back(Name(activation));
    if (names.back() == text) return static_cast<int>(activation);
  }
  const std::string nearest = NearestName(text, names);
  table.Fail(key, fmt::format("unknown activation '{}'{}; choices: {}", text,
                              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
                              fmt::join(names, ", ")));
}

// Sorts, and refuses what is empty, repeated or too much.
std::vector<int> CheckedChoices(const Config& table, std::string_view key,
                                std::vector<int> values) {
  if (values.empty()) table.Fail(key, "the list of choices is empty");
  std::sort(values.begin(), values.end());
  if (std::adjacent_find(values.begin(), values.end()) != values.end()) {
    table.Fail(key, "a choice is listed twice");
  }
  return values;
}

// {from = 24, to = 32, step = 8}
std::vector<int> ReadRange(const Config& table, std::string_view key, const IntOptions& allowed) {
  const Config range = table.Table(key);
  const int64_t from = range.Int("from", allowed);
  const int64_t to = range.Int("to", allowed);
  const int64_t step = range.Int("step", {.fallback = 1, .min = 1, .max = 65536});
  range.Finish();
  if (from > to) {
    table.Fail(key, fmt::format("the range is empty: from ({}) is above to ({})", from, to));
  }
  if ((to - from) % step != 0) {
    const int64_t below = to - (to - from) % step;
    table.Fail(key, fmt::format("steps of {} from {} do not reach {}; they reach {} and {}", step,
                                from, to, below, below + step));
  }
  if ((to - from) / step >= kMaxChoices) {
    table.Fail(key, fmt::format("{} choices are more than the {} allowed", (to - from) / step + 1,
                                kMaxChoices));
  }
  std::vector<int> values;
  for (int64_t value = from; value <= to; value += step) values.push_back(static_cast<int>(value));
  return values;
}

class SpaceReader {
 public:
  SpaceReader(const Config& root, std::string_view name) : root_(root), fallback_name_(name) {}

  SearchSpace::Impl Read() {
    root_.Choice("format", std::array<std::string_view, 1>{"lathe-space"});
    const int64_t version = root_.Int("version", {.min = 1});
    if (version != 1) {
      root_.Fail("version", fmt::format("{} is newer than this program, which reads 1", version));
    }
    space_.name = root_.String("name", fallback_name_);
    space_.round_channels =
        static_cast<int>(root_.Int("round_channels", {.fallback = 8, .min = 1, .max = 1024}));
    const std::string padding = root_.Choice("fused_padding", kPaddings, "same");
    space_.fused_padding = padding == "same"    ? net::Padding::kSame
                           : padding == "valid" ? net::Padding::kValid
                                                : net::Padding::kSymmetric;
    space_.resolution = ReadAttribute(root_, GeneKind::kResolution);
    ReadTail(root_.Table("tail"));
    const std::vector<Config> tables = root_.Tables("stage");
    if (tables.empty()) root_.Fail("", "a space needs stages: add [[stage]] tables");
    if (tables.size() > kMaxStages) {
      root_.Fail("stage",
                 fmt::format("{} stages are more than the {} allowed", tables.size(), kMaxStages));
    }
    for (const Config& table : tables) ReadStage(table);
    root_.Finish();
    CheckImages(tables);
    CheckExpansions(tables);
    CheckSizes(tables);
    return std::move(space_);
  }

 private:
  void ReadTail(const Config& table) {
    space_.tail_width = static_cast<int>(table.Int("width", Allowed(GeneKind::kFilters)));
    const std::string activation = table.String("activation", "relu");
    space_.tail_activation =
        static_cast<Activation>(ReadActivation(table, "activation", activation));
    table.Finish();
  }

  void ReadStage(const Config& table) {
    Stage stage;
    const std::string op = table.Choice("op", kOps);
    stage.op = op == "conv" ? Op::kConv : op == "irb" ? Op::kIrb : Op::kFusedIrb;
    stage.stride = static_cast<int>(table.Int("stride", {.min = 1, .max = 4}));
    if (space_.stages.empty() && stage.op != Op::kConv) {
      table.Fail("op", "the first stage must be a conv: the image has no channels to expand");
    }
    space_.stages.push_back(stage);
    for (GeneKind kind : kStageKinds) {
      space_.stages.back()[kind] = ReadStageAttribute(table, kind);
    }
    table.Finish();

    const Stage& read = space_.stages.back();
    for (int kernel : read.kernel.values) {
      if (kernel % 2 == 0) table.Fail("kernel", fmt::format("{} is even; use odd sizes", kernel));
    }
    if (read.layers.values.back() == 0) table.Fail("layers", "the stage never has a layer");
    if (read.layers.values.front() > 0) return;
    if (read.stride != 1) {
      table.Fail("layers", fmt::format("zero layers would lose the stage's stride of {}; "
                                       "at least 1, or stride = 1",
                                       read.stride));
    }
    if (space_.stages.size() == 1) table.Fail("layers", "the first stage needs at least 1 layer");
  }

  Attribute ReadStageAttribute(const Config& table, GeneKind kind) {
    const bool expands = kind == GeneKind::kExpansion || kind == GeneKind::kSe;
    const bool given = table.Has(Name(kind));
    if (expands && space_.stages.back().op == Op::kConv) {
      if (given) table.Fail(Name(kind), "has no meaning in a stage of conv layers; remove it");
      return {.values = {0}};
    }
    if (kind == GeneKind::kSe && !given) return {.values = {0}};
    return ReadAttribute(table, kind);
  }

  // 3 or "swish": fixed. [3, 5] or {from, to, step}: a gene. "stage0": shared with that stage.
  Attribute ReadAttribute(const Config& table, GeneKind kind) {
    const std::string_view key = Name(kind);
    const Config::Type type = table.TypeOf(key);
    const bool in_stage = kind != GeneKind::kResolution;
    if (type == Config::Type::kString && in_stage) {
      const std::string text = table.String(key);
      if (text.starts_with("stage") || kind != GeneKind::kActivation) {
        return Shared(table, kind, text);
      }
    }
    std::vector<int> values;
    if (kind == GeneKind::kActivation) {
      if (type == Config::Type::kMissing) table.String(key);  // throws
      for (const std::string& text : table.Strings(key)) {
        values.push_back(ReadActivation(table, key, text));
      }
    } else if (type == Config::Type::kTable) {
      values = ReadRange(table, key, Allowed(kind));
    } else {
      const std::vector<int64_t> numbers = table.Ints(key, Allowed(kind));
      values.assign(numbers.begin(), numbers.end());
    }
    values = CheckedChoices(table, key, std::move(values));
    const bool fixed = type != Config::Type::kTable && type != Config::Type::kList;
    return fixed ? Attribute{.values = values} : NewGene(kind, std::move(values));
  }

  Attribute NewGene(GeneKind kind, std::vector<int> values) {
    Gene gene{.name = std::string(Name(kind)), .kind = kind, .choices = values};
    if (kind != GeneKind::kResolution) {
      gene.stage = static_cast<int>(space_.stages.size()) - 1;
      gene.name = fmt::format("stage{}.{}", gene.stage, Name(kind));
    }
    gene.ordinal = kind != GeneKind::kActivation;
    space_.genes.push_back(std::move(gene));
    return {.gene = static_cast<int>(space_.genes.size()) - 1, .values = std::move(values)};
  }

  Attribute Shared(const Config& table, GeneKind kind, std::string_view text) {
    const std::string_view digits = text.substr(std::min<size_t>(text.size(), 5));
    size_t index = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    const bool number = error == std::errc() && end == digits.data() + digits.size();
    if (!text.starts_with("stage") || !number || index + 1 >= space_.stages.size()) {
      table.Fail(Name(kind), fmt::format("'{}' is not an earlier stage, such as 'stage0'; give a "
                                         "value, a list, {{from, to, step}} or an earlier stage",
                                         text));
    }
    const Stage& source = space_.stages[index];
    if (source.layers.values.front() == 0) {
      table.Fail(Name(kind), fmt::format("'{}' may have zero layers and so cannot lend its {}",
                                         text, Name(kind)));
    }
    if (source.op == Op::kConv && (kind == GeneKind::kExpansion || kind == GeneKind::kSe)) {
      table.Fail(Name(kind), fmt::format("'{}' is a conv and has no {}", text, Name(kind)));
    }
    return source[kind];
  }

  void CheckImages(const std::vector<Config>& tables) const {
    int size = space_.resolution.values.front();
    for (size_t i = 0; i < tables.size(); ++i) {
      const Stage& stage = space_.stages[i];
      const bool unpadded = stage.op == Op::kFusedIrb && stage.stride > 1 &&
                            space_.fused_padding == net::Padding::kValid;
      const int needed = unpadded ? stage.kernel.values.back() : stage.stride;
      if (size < needed) {
        tables[i].Fail("stride",
                       fmt::format("the smallest image ({} px) is {} px wide before this stage, "
                                   "which needs {}; stride {} would leave less than one pixel",
                                   space_.resolution.values.front(), size, needed, stage.stride));
      }
      size =
          unpadded ? (size - needed) / stage.stride + 1 : (size + stage.stride - 1) / stage.stride;
    }
  }

  // Widths that can enter each stage, from the filters of the stages before it that may be last.
  std::vector<std::set<int>> WidthsBefore() const {
    std::vector<std::set<int>> widths = {{}};
    for (const Stage& stage : space_.stages) {
      std::set<int> after(stage.filters.values.begin(), stage.filters.values.end());
      if (stage.layers.values.front() == 0) {
        after.insert(widths.back().begin(), widths.back().end());
      }
      widths.push_back(std::move(after));
    }
    return widths;
  }

  // Two expansions that round to the same width would be two encodings of one network.
  void CheckExpansions(const std::vector<Config>& tables) const {
    const std::vector<std::set<int>> before = WidthsBefore();
    for (size_t i = 0; i < tables.size(); ++i) {
      const Stage& stage = space_.stages[i];
      if (stage.op == Op::kConv) continue;
      std::set<int> widths(stage.filters.values.begin(), stage.filters.values.end());
      widths.insert(before[i].begin(), before[i].end());
      for (int width : widths) {
        for (size_t k = 1; k < stage.expansion.values.size(); ++k) {
          const int low = stage.expansion.values[k - 1], high = stage.expansion.values[k];
          const int mid = net::RoundChannels(double{1} * width * low, space_.round_channels);
          if (mid != net::RoundChannels(double{1} * width * high, space_.round_channels)) continue;
          tables[i].Fail("expansion", fmt::format("{} and {} times {} channels both round to {}; "
                                                  "set round_channels to a divisor of "
                                                  "the widths",
                                                  low, high, width, mid));
        }
      }
    }
  }

  void CheckSizes(const std::vector<Config>& tables) const {
    const std::vector<std::set<int>> before = WidthsBefore();
    double pixels = space_.resolution.values.back(), weights = 0;
    for (size_t i = 0; i < tables.size(); ++i) {
      const Stage& stage = space_.stages[i];
      const double out = stage.filters.values.back(), kernel = stage.kernel.values.back();
      const double in = std::max<double>(out, before[i].empty() ? 1 : *before[i].rbegin());
      const double mid = stage.op == Op::kConv ? out : in * stage.expansion.values.back();
      const double layer = stage.op == Op::kConv       ? kernel * kernel * in * out
                           : stage.op == Op::kFusedIrb ? kernel * kernel * in * mid + mid * out
                                                       : mid * (in + kernel * kernel + out);
      weights += layer * stage.layers.values.back();
      CheckBytes(tables[i], "a feature map of one image", std::max(mid, in) * pixels * pixels);
      CheckBytes(tables[i], "the weights up to here", weights);
      pixels = std::max(1.0, pixels / stage.stride);
    }
    const double in = *before.back().rbegin();
    CheckBytes(root_.Table("tail"), "the tail's weights", in * space_.tail_width);
    CheckBytes(root_.Table("tail"), "the tail's feature map", pixels * pixels * space_.tail_width);
  }

  static void CheckBytes(const Config& table, std::string_view what, double floats) {
    if (floats * 4 <= kMaxBytes) return;
    table.Fail("", fmt::format("{} could take {:.3g} GiB, more than the {:.0f} allowed; use fewer "
                               "filters, expansions, layers or pixels",
                               what, floats * 4 / (1 << 30), kMaxBytes / (1 << 30)));
  }

  const Config& root_;
  std::string fallback_name_;
  SearchSpace::Impl space_;
};

}  // namespace

SearchSpace::Impl ReadSpace(const Config& root, std::string_view name) {
  return SpaceReader(root, name).Read();
}

}  // namespace lathe::space
