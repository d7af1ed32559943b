#include "space/random_space_testing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "base/error.h"

namespace lathe::space {
namespace {

// A random non-empty part of `all`, as TOML: a value, a list of one or more, or a range.
std::string Choices(Random& random, std::vector<int> all) {
  random.Shuffle(std::span(all));
  all.resize(1 + random.Below(std::min<size_t>(all.size(), 3)));
  if (all.size() == 1 && random.Below(2) == 0) return fmt::format("{}", all[0]);
  if (all.size() == 2 && random.Below(2) == 0) {
    const auto [low, high] = std::minmax(all[0], all[1]);
    return fmt::format("{{ from = {}, to = {}, step = {} }}", low, high, high - low);
  }
  return fmt::format("[{}]", fmt::join(all, ", "));
}

std::string StageText(Random& random, int stage, const std::vector<int>& lenders) {
  constexpr std::array<std::string_view, 3> ops = {"conv", "fused_irb", "irb"};
  const auto op = stage == 0 ? ops[0] : ops[random.Below(3)];
  const int stride = random.Below(3) == 0 ? 2 : 1;
  std::string text = fmt::format("[[stage]]\nop = \"{}\"\nstride = {}\n", op, stride);
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!lenders.empty() && random.Below(4) == 0) {
      text += fmt::format("{} = \"stage{}\"\n", key, lenders[random.Below(lenders.size())]);
    } else {
      text += fmt::format("{} = {}\n", key, value);
    }
  };
  add("filters", Choices(random, {8, 16, 24, 32}));
  add("kernel", Choices(random, {1, 3, 5}));
  if (op != "conv") {
    text += fmt::format("expansion = {}\n", Choices(random, {2, 3, 4}));
    text += fmt::format("se = {}\n", Choices(random, {0, 1}));
  }
  constexpr std::array<std::string_view, 4> activations = {"\"relu\"", "[\"swish\", \"relu\"]",
                                                           "[\"hard_swish\"]", "\"relu6\""};
  add("activation", std::string(activations[random.Below(4)]));
  const bool optional = stage > 0 && stride == 1 && random.Below(2) == 0;
  if (optional) {
    constexpr std::array<std::string_view, 3> kOptional = {"[0, 1]", "[2, 0]",
                                                           "{ from = 0, to = 3 }"};
    text += fmt::format("layers = {}\n", kOptional[random.Below(3)]);
  } else {
    add("layers", Choices(random, {1, 2, 3}));
  }
  return text;
}

}  // namespace

std::string RandomSpaceText(uint64_t seed, double most) {
  Random random(seed);
  while (true) {
    constexpr std::array<std::string_view, 3> kPaddings = {"same", "symmetric", "valid"};
    std::string text = fmt::format(
        "format = \"lathe-space\"\nversion = 1\nround_channels = 4\nresolution = {}\n"
        "fused_padding = \"{}\"\n[tail]\nwidth = 16\n",
        Choices(random, {32, 40, 56, 64}), kPaddings[random.Below(3)]);
    std::vector<int> lenders;  // stages whose choices others may share
    const int stages = 1 + static_cast<int>(random.Below(7));
    try {
      double size_log10 = 0;
      for (int s = 0; s < stages; ++s) {
        text += StageText(random, s, lenders);
        const SearchSpace space = SearchSpace::Parse(text, "random");
        if (space.stages().back().layers.values.front() > 0) lenders.push_back(s);
        size_log10 = space.size_log10();
      }
      if (size_log10 <= std::log10(most)) return text;
    } catch (const Error&) {
      // Such as expansions that round to the same width, or an image that shrinks away.
    }
  }
}

SearchSpace RandomSpace(uint64_t seed, double most) {
  return SearchSpace::Parse(RandomSpaceText(seed, most), fmt::format("random {}", seed));
}

std::vector<Encoding> AllEncodings(const SearchSpace& space) {
  std::vector<Encoding> all;
  std::vector<size_t> at(space.genes().size(), 0);
  while (true) {
    Encoding encoding;
    for (size_t g = 0; g < at.size(); ++g) encoding.push_back(space.genes()[g].choices[at[g]]);
    if (space.Canonical(encoding) == encoding) all.push_back(std::move(encoding));
    size_t g = at.size();
    while (g > 0 && ++at[g - 1] == space.genes()[g - 1].choices.size()) at[--g] = 0;
    if (g == 0) return all;
  }
}

double MadeUpLatency(const net::Layer& layer, double step) {
  uint64_t hash = 0;
  for (const int part : {static_cast<int>(layer.op), layer.in.c, layer.in.h, layer.in.w,
                         layer.out_channels, layer.kernel, layer.stride, layer.mid_channels,
                         layer.se_channels, static_cast<int>(layer.act), layer.residual ? 1 : 0}) {
    hash = Mix(hash ^ static_cast<uint64_t>(part));
  }
  return step * static_cast<double>(1 + hash % 40);
}

double UnevenLatency(const net::Layer& layer) { return MadeUpLatency(layer, 1.37); }

Cost WalkedCost(const net::Network& network, const LayerLatency& latency) {
  Cost cost;
  for (const net::Layer& layer : network.layers) {
    cost.latency_ps += PsOfUs(latency(layer));
  }
  const net::Costs counted = net::Count(network);
  cost.params = counted.params;
  cost.macs = counted.macs;
  return cost;
}

}  // namespace lathe::space
