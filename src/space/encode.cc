// Network to encoding: exactly (Encode), or as close as the space allows (Nearest).
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "space/impl.h"

namespace lathe::space {
namespace {

using net::Layer;

std::string Text(int value) { return fmt::format("{}", value); }
std::string Text(float value) { return fmt::format("{}", value); }
std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(const net::Shape& shape) {
  return fmt::format("{}x{}x{}", shape.c, shape.h, shape.w);
}
std::string Text(auto name) { return std::string(net::Name(name)); }

// What makes `actual` another layer than `expected`; empty if both compute the same.
std::string Difference(const Layer& expected, const Layer& actual) {
  std::string difference;
  const auto compare = [&](std::string_view what, const auto& want, const auto& have) {
    if (!difference.empty() || want == have) return;
    difference = fmt::format("{} is {}; the space needs {}", what, Text(have), Text(want));
  };
  compare("op", expected.op, actual.op);
  compare("in", expected.in, actual.in);
  compare("act", expected.act, actual.act);
  compare("mid_channels", expected.mid_channels, actual.mid_channels);
  compare("bn_eps", expected.bn_eps, actual.bn_eps);
  if (expected.op == net::Op::kTail) {
    compare("hidden_channels", expected.hidden_channels, actual.hidden_channels);
    return difference;
  }
  compare("out_channels", expected.out_channels, actual.out_channels);
  compare("kernel", expected.kernel, actual.kernel);
  compare("stride", expected.stride, actual.stride);
  compare("groups", expected.groups, actual.groups);
  compare("expand", expected.expand, actual.expand);
  compare("residual", expected.residual, actual.residual);
  compare("se_channels", expected.se_channels, actual.se_channels);
  if (expected.se_channels > 0) {
    compare("se_act", expected.se_act, actual.se_act);
    compare("se_gate", expected.se_gate, actual.se_gate);
  }
  // With stride 1 and an odd kernel both kinds of padding are the same.
  if (expected.stride != 1) compare("padding", expected.padding, actual.padding);
  return difference;
}

Encoding FirstChoices(const SearchSpace& space) {
  Encoding encoding;
  for (const Gene& gene : space.genes()) encoding.push_back(gene.choices.front());
  return encoding;
}

// The value of a property that a layer shows, or what stands in for it.
int Shown(const SearchSpace& space, size_t stage, GeneKind kind, const Layer& layer) {
  switch (kind) {
    case GeneKind::kFilters:
      return layer.out_channels;
    case GeneKind::kKernel:
      return layer.kernel;
    case GeneKind::kSe:
      return layer.se_channels > 0 ? 1 : 0;
    case GeneKind::kActivation:
      return static_cast<int>(layer.act);
    case GeneKind::kExpansion:
      break;
    case GeneKind::kResolution:
    case GeneKind::kLayers:
      throw Error(ErrorKind::kInternal, "a layer shows no {}", Name(kind));
  }
  if (space.stages()[stage].op == net::Op::kConv) return 0;
  StageValues values = {.filters = layer.out_channels, .kernel = layer.kernel};
  for (int expansion : space.stages()[stage].expansion.values) {
    values.expansion = expansion;
    const Layer made = space.MakeLayer(stage, values, layer.in, /*first=*/true);
    if (made.mid_channels == layer.mid_channels) return expansion;
  }
  return static_cast<int>(std::lround(static_cast<double>(layer.mid_channels) / layer.in.c));
}

constexpr std::array kShownKinds = {GeneKind::kFilters, GeneKind::kKernel, GeneKind::kExpansion,
                                    GeneKind::kSe, GeneKind::kActivation};

// Splits a network's layers among the stages by depth-first search and remembers the layer where it
// got stuck last.
class Parser {
 public:
  Parser(const SearchSpace& space, const net::Network& network)
      : space_(space), network_(network), encoding_(FirstChoices(space)) {
    std::set<int> users;
    for (const Stage& stage : space.stages()) {
      for (GeneKind kind : kStageKinds) {
        const int gene = stage[kind].gene;
        if (gene >= 0 && !users.insert(gene).second) shared_.insert(static_cast<size_t>(gene));
      }
    }
  }

  Encoding Parse() {
    const Attribute& resolution = space_.resolution();
    const net::Shape& input = network_.input;
    const bool listed =
        std::binary_search(resolution.values.begin(), resolution.values.end(), input.h);
    if (input.h != input.w || !listed) {
      Fail(fmt::format("the input is {}x{} px; resolutions of the space: {}", input.h, input.w,
                       fmt::join(resolution.values, ", ")));
    }
    if (resolution.gene >= 0) encoding_[static_cast<size_t>(resolution.gene)] = input.h;
    if (network_.layers.empty()) Fail("it has no layers");
    if (!Match(0, 0)) {
      const Layer& layer = network_.layers[stuck_layer_];
      Fail(fmt::format("layer {} ({}): {}", stuck_layer_, net::Name(layer.op), stuck_));
    }
    return encoding_;
  }

 private:
  [[noreturn]] void Fail(std::string_view why) const {
    throw Error(ErrorKind::kInput, "network '{}' is not in space '{}': {}", network_.name,
                space_.name(), why);
  }

  bool Stuck(size_t layer, std::string why) {
    if (stuck_.empty() || layer > stuck_layer_) {
      stuck_layer_ = layer;
      stuck_ = std::move(why);
    }
    return false;
  }

  // Whether layers from `layer` on fit the stages from `stage` on.
  bool Match(size_t stage, size_t layer) {
    const size_t tail = network_.layers.size() - 1;
    if (stage == space_.stages().size()) return MatchTail(layer, tail);
    std::vector<int> state = {static_cast<int>(stage), static_cast<int>(layer)};
    for (size_t gene : shared_) state.push_back(encoding_[gene]);
    if (failed_.contains(state)) return false;

    const std::vector<int>& counts = space_.stages()[stage].layers.values;
    if (layer == tail && counts.front() > 0) {
      Stuck(layer, fmt::format("the network ends before stage {}", stage));
    }
    for (int count : Counts(stage, layer, tail)) {
      const Encoding before = encoding_;
      if (MatchStage(stage, layer, count) && Match(stage + 1, layer + static_cast<size_t>(count))) {
        return true;
      }
      encoding_ = before;
    }
    failed_.insert(std::move(state));
    return false;
  }

  bool MatchTail(size_t layer, size_t tail) {
    if (layer != tail) return Stuck(layer, "no stage of the space takes this layer");
    const Layer& actual = network_.layers[tail];
    const std::string difference =
        Difference(space_.MakeTail(actual.in, actual.out_channels), actual);
    return difference.empty() || Stuck(tail, difference);
  }

  // Numbers of layers to try: first what Layer::stage says, then from many to few.
  std::vector<int> Counts(size_t stage, size_t layer, size_t tail) const {
    int labelled = 0;
    while (layer + static_cast<size_t>(labelled) < tail &&
           network_.layers[layer + static_cast<size_t>(labelled)].stage ==
               static_cast<int>(stage)) {
      ++labelled;
    }
    const std::vector<int>& allowed = space_.stages()[stage].layers.values;
    std::vector<int> counts(allowed.rbegin(), allowed.rend());
    std::erase_if(counts, [&](int count) { return layer + static_cast<size_t>(count) > tail; });
    std::stable_partition(counts.begin(), counts.end(),
                          [&](int count) { return count == labelled; });
    return counts;
  }

  // Takes `count` layers into a stage and sets its genes.
  bool MatchStage(size_t index, size_t first, int count) {
    const Stage& stage = space_.stages()[index];
    if (!Set(index, GeneKind::kLayers, count, first)) return false;
    if (count == 0) return true;
    const Layer& layer = network_.layers[first];
    if (layer.op != stage.op) {
      return Stuck(first, fmt::format("stage {} needs {}", index, net::Name(stage.op)));
    }
    for (GeneKind kind : kShownKinds) {
      if (!Set(index, kind, Shown(space_, index, kind, layer), first)) return false;
    }
    const StageValues values = stage.At(encoding_);
    for (int k = 0; k < count; ++k) {
      const size_t at = first + static_cast<size_t>(k);
      const Layer& actual = network_.layers[at];
      const std::string difference =
          Difference(space_.MakeLayer(index, values, actual.in, k == 0), actual);
      if (!difference.empty()) {
        return Stuck(at, fmt::format("as layer {} of stage {}, {}", k, index, difference));
      }
    }
    return true;
  }

  bool Set(size_t stage, GeneKind kind, int value, size_t layer) {
    const Attribute& attribute = space_.stages()[stage][kind];
    if (!std::binary_search(attribute.values.begin(), attribute.values.end(), value)) {
      const Gene gene{.kind = kind, .choices = attribute.values};
      const int nearest = NearestChoice(kind, attribute.values, value);
      return Stuck(layer, fmt::format("stage{}.{} is {}; choices: {}; nearest: {}", stage,
                                      Name(kind), FormatChoice(gene, value), FormatChoices(gene),
                                      FormatChoice(gene, nearest)));
    }
    if (attribute.gene < 0) return true;
    int& slot = encoding_[static_cast<size_t>(attribute.gene)];
    const Gene& owner = space_.genes()[static_cast<size_t>(attribute.gene)];
    if (owner.stage != static_cast<int>(stage) && slot != value) {
      return Stuck(layer,
                   fmt::format("stage{}.{} is {}; it must equal {}, which is {}", stage, Name(kind),
                               FormatChoice(owner, value), owner.name, FormatChoice(owner, slot)));
    }
    slot = value;
    return true;
  }

  const SearchSpace& space_;
  const net::Network& network_;
  Encoding encoding_;
  std::set<size_t> shared_;            // genes of more than one stage
  std::set<std::vector<int>> failed_;  // stage, layer and the shared genes
  size_t stuck_layer_ = 0;
  std::string stuck_;
};

// How badly layers [first, last) suit a stage: wrong operations and strides count most, then the
// number of layers, then another stage's label.
double Misfit(const Stage& stage, int index, std::span<const Layer> layers) {
  const int count = static_cast<int>(layers.size());
  double cost =
      2.0 * std::abs(NearestChoice(GeneKind::kLayers, stage.layers.values, count) - count);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].op != stage.op) cost += 4;
    if (layers[i].stride != (i == 0 ? stage.stride : 1)) cost += 4;
    if (i > 0 && layers[i].out_channels != layers[0].out_channels) cost += 2;
    if (layers[i].stage != index) cost += 1;
  }
  return cost;
}

// Where each stage's layers begin, with the least total misfit (dynamic programming over stages and
// layers); one more entry holds the end.
std::vector<size_t> Split(const SearchSpace& space, std::span<const Layer> layers) {
  const size_t stages = space.stages().size(), count = layers.size();
  std::vector<std::vector<double>> best(stages + 1, std::vector<double>(count + 1, HUGE_VAL));
  std::vector<std::vector<size_t>> from(stages + 1, std::vector<size_t>(count + 1, 0));
  best[0][0] = 0;
  for (size_t s = 0; s < stages; ++s) {
    for (size_t begin = 0; begin <= count; ++begin) {
      if (best[s][begin] == HUGE_VAL) continue;
      for (size_t end = begin; end <= count; ++end) {
        const double cost = best[s][begin] + Misfit(space.stages()[s], static_cast<int>(s),
                                                    layers.subspan(begin, end - begin));
        if (cost >= best[s + 1][end]) continue;
        best[s + 1][end] = cost;
        from[s + 1][end] = begin;
      }
    }
  }
  std::vector<size_t> begins(stages + 1, count);
  for (size_t s = stages; s > 0; --s) begins[s - 1] = from[s][begins[s]];
  return begins;
}

}  // namespace

Encoding SearchSpace::Encode(const net::Network& network) const {
  return Parser(*this, network).Parse();
}

Encoding SearchSpace::Nearest(const net::Network& network) const {
  Encoding encoding = FirstChoices(*this);
  const auto set = [&](const Attribute& attribute, GeneKind kind, int owner, int value) {
    if (attribute.gene < 0) return;
    const auto index = static_cast<size_t>(attribute.gene);
    if (genes()[index].stage != owner) return;  // shared: the owning stage decides
    encoding[index] = NearestChoice(kind, attribute.values, value);
  };
  set(impl_->resolution, GeneKind::kResolution, -1, network.input.h);
  std::span<const Layer> layers = network.layers;
  if (!layers.empty() && layers.back().op == net::Op::kTail)
    layers = layers.first(layers.size() - 1);
  const std::vector<size_t> begins = Split(*this, layers);
  for (size_t s = 0; s < stages().size(); ++s) {
    const Stage& stage = stages()[s];
    const std::span<const Layer> part = layers.subspan(begins[s], begins[s + 1] - begins[s]);
    const int owner = static_cast<int>(s);
    set(stage.layers, GeneKind::kLayers, owner, static_cast<int>(part.size()));
    if (part.empty()) continue;
    for (GeneKind kind : kShownKinds) set(stage[kind], kind, owner, Shown(*this, s, kind, part[0]));
    set(stage.filters, GeneKind::kFilters, owner, part.back().out_channels);
  }
  return Canonical(std::move(encoding));
}

}  // namespace lathe::space
