#include "space/cost_tables.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "space/impl.h"

namespace lathe::space {
namespace {

constexpr size_t kMostEntries = size_t{1} << 28;  // of one stage; 24 bytes each
constexpr std::array kVariantKinds = {GeneKind::kKernel, GeneKind::kExpansion, GeneKind::kSe,
                                      GeneKind::kActivation};

int IndexOf(std::span<const int> values, int value) {
  return static_cast<int>(std::lower_bound(values.begin(), values.end(), value) - values.begin());
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  latency_ps += other.latency_ps;
  params += other.params;
  macs += other.macs;
  return *this;
}

Cost Cost::operator+(const Cost& other) const {
  Cost sum = *this;
  return sum += other;
}

Cost Cost::operator*(int64_t times) const {
  return {latency_ps * times, params * times, macs * times};
}

class TableBuilder {
 public:
  TableBuilder(CostTables& tables, const LayerLatency& latency, const CostOptions& options)
      : tables_(tables), space_(tables.space_), latency_(latency), options_(options) {}

  void Build() {
    FindLastUses();
    const Attribute& resolution = space_.resolution();
    tables_.resolution_gene_ = resolution.gene;
    tables_.resolutions_ = static_cast<int>(resolution.values.size());
    for (int side : resolution.values) {
      states_.push_back({.shape = {options_.head.channels, side, side}, .shared = {}});
    }
    for (size_t s = 0; s < space_.stages().size(); ++s) BuildStage(s);
    std::vector<Job> jobs;
    tables_.tail_.resize(states_.size());
    for (size_t i = 0; i < states_.size(); ++i) {
      jobs.push_back({space_.MakeTail(states_[i].shape, options_.head.classes), &tables_.tail_[i]});
    }
    Price(jobs);
    const auto overhead = PsOfUs(options_.overhead_us);
    for (Cost& cost : tables_.tail_) cost.latency_ps += overhead;
  }

 private:
  // What later layers depend on. `shared`: the choice of every live gene, an index; live are genes
  // of earlier stages that a later stage uses, in the order of their numbers.
  struct State {
    net::Shape shape;
    std::vector<int> shared;
    auto operator<=>(const State&) const = default;
  };
  struct Job {
    net::Layer layer;
    Cost* cost;
  };

  void FindLastUses() {
    last_use_.assign(space_.genes().size(), -1);
    for (size_t s = 0; s < space_.stages().size(); ++s) {
      for (GeneKind kind : kStageKinds) {
        const int gene = space_.stages()[s][kind].gene;
        if (gene >= 0) last_use_[static_cast<size_t>(gene)] = static_cast<int>(s);
      }
    }
  }

  // Genes that are live at the boundary before `stage`.
  std::vector<int> LiveBefore(int stage) const {
    std::vector<int> live;
    for (size_t g = 0; g < last_use_.size(); ++g) {
      const int owner = space_.genes()[g].stage;
      if (owner >= 0 && owner < stage && last_use_[g] >= stage) live.push_back(static_cast<int>(g));
    }
    return live;
  }

  void BuildStage(size_t s) {
    const Stage& stage = space_.stages()[s];
    const int owner = static_cast<int>(s);
    StageTable table;
    table.filters = static_cast<int>(stage.filters.values.size());
    table.filters_gene = stage.filters.gene;
    table.layers = stage.layers.values;
    table.layers_gene = stage.layers.gene;
    table.variants = 1;
    for (auto kind = kVariantKinds.rbegin(); kind != kVariantKinds.rend(); ++kind) {
      const Attribute& attribute = stage[*kind];
      const int size = static_cast<int>(attribute.values.size());
      table.variant_axes.insert(table.variant_axes.begin(),
                                {.gene = attribute.gene, .size = size, .stride = table.variants});
      table.variants *= size;
    }
    table.next_by_layers = stage.layers.gene >= 0 &&
                           last_use_[static_cast<size_t>(stage.layers.gene)] > owner &&
                           space_.genes()[static_cast<size_t>(stage.layers.gene)].stage == owner;
    table.states_before = static_cast<int>(states_.size());
    const size_t first_size = table.FirstIndex(table.states_before, 0, 0);
    const size_t next_size = table.NextIndex(first_size, 0);
    if (next_size > kMostEntries) {
      throw Error(ErrorKind::kInput,
                  "space '{}': the table of stage {} would need {} entries, more than {}; restrict "
                  "the genes of this stage or of those before it",
                  space_.name(), s, next_size, kMostEntries);
    }
    table.first.resize(first_size);
    table.next.assign(next_size, StageTable::kNone);
    table.skip.assign(states_.size(), StageTable::kNone);

    const std::vector<int> live_before = LiveBefore(owner), live_after = LiveBefore(owner + 1);
    const auto shared_index = [&](const State& state, int gene) {
      const auto at = std::lower_bound(live_before.begin(), live_before.end(), gene);
      return at == live_before.end() || *at != gene
                 ? -1
                 : state.shared[static_cast<size_t>(at - live_before.begin())];
    };
    if (shared_index(states_[0], stage.layers.gene) >= 0) {
      for (const State& state : states_) {
        table.layers_of_state.push_back(shared_index(state, stage.layers.gene));
      }
    }
    std::map<State, int32_t> after;
    std::vector<State> states_after;
    const auto state_after = [&](State state) {
      const auto [found, fresh] =
          after.try_emplace(std::move(state), static_cast<int32_t>(states_after.size()));
      if (fresh) states_after.push_back(found->first);
      return found->second;
    };

    std::vector<Job> jobs;
    for (int32_t b = 0; b < table.states_before; ++b) {
      const State& state = states_[static_cast<size_t>(b)];
      if (stage.layers.values.front() == 0) {
        State same{.shape = state.shape, .shared = {}};
        for (int gene : live_after) same.shared.push_back(shared_index(state, gene));
        table.skip[static_cast<size_t>(b)] = state_after(std::move(same));
      }
      for (int f = 0; f < table.filters; ++f) {
        for (int v = 0; v < table.variants; ++v) {
          const size_t index = table.FirstIndex(b, f, v);
          const auto chosen = [&](int gene) {  // index, of a gene that this stage uses
            if (gene == table.filters_gene) return f;
            for (const StageTable::Axis& axis : table.variant_axes) {
              if (gene == axis.gene) return v / axis.stride % axis.size;
            }
            return -1;
          };
          bool agrees = true;
          for (int gene : live_before) {
            const int own = chosen(gene);
            agrees = agrees && (own < 0 || own == shared_index(state, gene));
          }
          if (!agrees) continue;
          const net::Layer layer = space_.MakeLayer(s, ValuesOf(stage, table, f, v), state.shape,
                                                    /*first=*/true);
          jobs.push_back({layer, &table.first[index]});
          const int choices = table.next_by_layers ? static_cast<int>(table.layers.size()) : 1;
          for (int l = 0; l < choices; ++l) {
            State next{.shape = layer.out(), .shared = {}};
            for (int gene : live_after) {
              int value = gene == stage.layers.gene && table.next_by_layers ? l : chosen(gene);
              if (value < 0) value = shared_index(state, gene);
              next.shared.push_back(value);
            }
            table.next[table.NextIndex(index, l)] = state_after(std::move(next));
          }
        }
      }
    }

    table.states_after = static_cast<int>(states_after.size());
    if (table.states_after > CostTables::kMostStates) {
      throw Error(
          ErrorKind::kInput,
          "space '{}': {} combinations of feature map and shared genes after stage {}, more "
          "than {}; share fewer genes, or restrict them",
          space_.name(), table.states_after, s, CostTables::kMostStates);
    }
    table.rest.resize(table.RestIndex(table.states_after, 0));
    if (table.layers.back() > 1) {
      for (int32_t a = 0; a < table.states_after; ++a) {
        const net::Shape shape = states_after[static_cast<size_t>(a)].shape;
        const auto& widths = stage.filters.values;
        const int f = IndexOf(widths, shape.c);
        if (f == table.filters || widths[static_cast<size_t>(f)] != shape.c) continue;  // skipped
        for (int v = 0; v < table.variants; ++v) {
          jobs.push_back({space_.MakeLayer(s, ValuesOf(stage, table, f, v), shape, /*first=*/false),
                          &table.rest[table.RestIndex(a, v)]});
        }
      }
    }
    Price(jobs);
    tables_.stages_.push_back(std::move(table));
    states_ = std::move(states_after);
  }

  static StageValues ValuesOf(const Stage& stage, const StageTable& table, int f, int v) {
    std::array<int, kVariantKinds.size()> values;
    for (size_t i = 0; i < kVariantKinds.size(); ++i) {
      const StageTable::Axis& axis = table.variant_axes[i];
      values[i] = stage[kVariantKinds[i]].values[static_cast<size_t>(v / axis.stride % axis.size)];
    }
    return {.filters = stage.filters.values[static_cast<size_t>(f)],
            .kernel = values[0],
            .expansion = values[1],
            .se = values[2],
            .activation = static_cast<net::Activation>(values[3]),
            .layers = 1};
  }

  void Price(const std::vector<Job>& jobs) {
    ParallelBlocks(jobs.size(), 256, options_.threads, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        const double us = latency_(jobs[i].layer);
        if (!(us >= 0 && us <= CostTables::kMostLayerUs)) {
          throw Error(ErrorKind::kInternal, "the latency of a {} layer is {} us",
                      net::Name(jobs[i].layer.op), us);
        }
        Cost cost{.latency_ps = PsOfUs(us)};
        if (options_.params_and_macs) {
          const net::Costs counted = net::Count(jobs[i].layer);
          cost.params = counted.params;
          cost.macs = counted.macs;
        }
        *jobs[i].cost = cost;
      }
    });
    tables_.layers_priced_ += std::ssize(jobs);
  }

  CostTables& tables_;
  const SearchSpace& space_;
  const LayerLatency& latency_;
  const CostOptions& options_;
  std::vector<State> states_;  // at the boundary reached so far
  std::vector<int> last_use_;  // by gene: the last stage that uses it
};

CostTables::CostTables(const SearchSpace& space, const LayerLatency& latency,
                       const CostOptions& options)
    : space_(space) {
  TableBuilder(*this, latency, options).Build();
}

Cost CostTables::OfIndices(std::span<const int> indices) const {
  const auto index = [&](int gene) { return gene < 0 ? 0 : indices[static_cast<size_t>(gene)]; };
  int32_t state = index(resolution_gene_);
  Cost sum;
  for (const StageTable& table : stages_) {
    const int layers_index = index(table.layers_gene);
    const int layers = table.layers[static_cast<size_t>(layers_index)];
    if (layers == 0) {
      state = table.skip[static_cast<size_t>(state)];
      continue;
    }
    int variant = 0;
    for (const StageTable::Axis& axis : table.variant_axes)
      variant += index(axis.gene) * axis.stride;
    const size_t first = table.FirstIndex(state, index(table.filters_gene), variant);
    state = table.next[table.NextIndex(first, layers_index)];
    sum += table.first[first] + table.rest[table.RestIndex(state, variant)] * (layers - 1);
  }
  return sum + tail_[static_cast<size_t>(state)];
}

Cost CostTables::Of(std::span<const int> encoding) const {
  space_.Check(encoding);
  std::vector<int> indices(encoding.size());
  for (size_t i = 0; i < encoding.size(); ++i) {
    indices[i] = IndexOf(space_.genes()[i].choices, encoding[i]);
  }
  return OfIndices(indices);
}

}  // namespace lathe::space
