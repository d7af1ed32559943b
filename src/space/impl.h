// What a SearchSpace holds; private to this module.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/config.h"
#include "space/search_space.h"

namespace lathe::space {

// The properties of a stage, in the order of their genes (GPUNet post, Table 2).
inline constexpr std::array kStageKinds = {GeneKind::kFilters,    GeneKind::kKernel,
                                           GeneKind::kExpansion,  GeneKind::kSe,
                                           GeneKind::kActivation, GeneKind::kLayers};

struct SearchSpace::Impl {
  std::string name;
  int round_channels = 8;  // expanded widths are rounded to multiples of it
  net::Padding fused_padding = net::Padding::kSame;  // of fused blocks with a stride
  int tail_width = 0;
  net::Activation tail_activation = net::Activation::kRelu;
  Attribute resolution;
  std::vector<Stage> stages;
  std::vector<Gene> genes;

  // The layers gene that decides whether `gene` has an effect; -1 if it always has. Shared genes
  // always have: a stage that lends its genes cannot be empty.
  int LayersGeneOf(const Gene& gene) const;
};

// load.cc. Throws as SearchSpace::Load.
SearchSpace::Impl ReadSpace(const Config& root, std::string_view name);

// "3, 5" or "relu, swish"; long lists are cut in the middle.
std::string FormatChoices(const Gene& gene);

// The choice closest to `value`; the lower one of two. For activations: itself or the first choice.
int NearestChoice(GeneKind kind, std::span<const int> choices, int value);

}  // namespace lathe::space
