// What every network of a space costs, as flat tables per stage: a network's latency, parameters
// and multiply-accumulates are sums of a few table entries per stage, found by index alone. Made
// once for a space and a latency model; then immutable and thread-safe.
//
// The tables are a graph. Its states, at each boundary between stages, are what later layers depend
// on: the shape of the feature map, and the choices of genes that later stages share. A stage leads
// from state to state by `filters`, a variant (kernel, expansion, SE, activation) and a number of
// layers; the first layer's cost depends on the state before it, that of each further layer only
// on the state after it.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "space/search_space.h"

namespace lathe::space {

// Latency in whole picoseconds (1e-6 us), so that sums are exact in any order, also in doubles.
inline constexpr double kPsPerUs = 1e6;
inline double UsOf(int64_t ps) { return static_cast<double>(ps) / kPsPerUs; }
inline double MsOf(int64_t ps) { return static_cast<double>(ps) * 1e-9; }
inline int64_t PsOfUs(double us) { return std::llround(us * kPsPerUs); }

struct Cost {
  int64_t latency_ps = 0, params = 0, macs = 0;
  Cost& operator+=(const Cost& other);
  Cost operator+(const Cost& other) const;
  Cost operator*(int64_t times) const;
  bool operator==(const Cost&) const = default;
};

// Latency of one layer in microseconds. Must be pure and thread-safe; a value below 0 or not
// finite is an error of the caller, which throws Error itself when it knows better.
using LayerLatency = std::function<double(const net::Layer&)>;

struct CostOptions {
  SearchSpace::Head head;
  double overhead_us = 0;       // of every network, beside its layers
  bool params_and_macs = true;  // otherwise 0, which saves most of the time
  int threads = 1;
};

// One stage. Entry sizes: `first` and `next` have states_before x filters x variants entries in
// this order (times layer counts in `next` if next_by_layers), `rest` states_after x variants.
struct StageTable {
  static constexpr int32_t kNone = -1;

  int filters = 0, variants = 0;  // numbers of choices
  std::vector<int> layers;        // choices, ascending
  int states_before = 0, states_after = 0;
  bool next_by_layers = false;    // a later stage shares this one's `layers`
  std::vector<Cost> first, rest;  // one layer
  std::vector<int32_t> next;      // state after it; kNone: not a network (shared genes disagree)
  std::vector<int32_t> skip;      // state after no layer at all; kNone: not possible

  // The gene of each axis (-1: fixed), and what its choice counts in the variant's index.
  int filters_gene = -1, layers_gene = -1;
  struct Axis {
    int gene = -1;
    int size = 1;    // choices
    int stride = 1;  // in the variant
  };
  std::vector<Axis> variant_axes;  // kernel, expansion, SE, activation
  // Where `layers` is shared with an earlier stage, its only index in each state before; else
  // empty.
  std::vector<int32_t> layers_of_state;

  size_t FirstIndex(int32_t state, int filter, int variant) const {
    return (static_cast<size_t>(state) * static_cast<size_t>(filters) +
            static_cast<size_t>(filter)) *
               static_cast<size_t>(variants) +
           static_cast<size_t>(variant);
  }
  size_t NextIndex(size_t first_index, int layers_index) const {
    return next_by_layers ? first_index * layers.size() + static_cast<size_t>(layers_index)
                          : first_index;
  }
  size_t RestIndex(int32_t state_after, int variant) const {
    return static_cast<size_t>(state_after) * static_cast<size_t>(variants) +
           static_cast<size_t>(variant);
  }
  // Whether a network in state `before` may have the layers_index-th number of layers.
  bool Allows(int32_t before, int layers_index) const {
    return layers_of_state.empty() || layers_of_state[static_cast<size_t>(before)] == layers_index;
  }
};

class CostTables {
 public:
  static constexpr int kMostStates = 1 << 16;  // at one boundary
  static constexpr double kMostLayerUs = 1e8;  // latency of a layer

  // Throws kInput when a stage would need more than a few hundred million entries, or there would
  // be more than kMostStates states.
  CostTables(const SearchSpace& space, const LayerLatency& latency, const CostOptions& options);

  const SearchSpace& space() const { return space_; }
  const std::vector<StageTable>& stages() const { return stages_; }
  int resolutions() const { return resolutions_; }  // states before the first stage
  const std::vector<Cost>& tail() const {
    return tail_;
  }  // by state after the last stage;
     // includes the overhead
  int64_t layers_priced() const { return layers_priced_; }  // calls of `latency`

  // Of a valid encoding, canonical or not.
  Cost Of(std::span<const int> encoding) const;

  // Choices as indices into genes()[i].choices, one per gene. Entries of inactive genes are
  // ignored.
  Cost OfIndices(std::span<const int> indices) const;

 private:
  SearchSpace space_;
  std::vector<StageTable> stages_;
  std::vector<Cost> tail_;
  int resolutions_ = 0;
  int resolution_gene_ = -1;
  int64_t layers_priced_ = 0;
  friend class TableBuilder;
};

}  // namespace lathe::space
