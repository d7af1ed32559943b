// Uniform draws: from the end of the network to its beginning, each choice with probability
// proportional to the number of networks that lie behind it.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "space/count.h"
#include "space/counting.h"
#include "space/forward.h"

namespace lathe::space {
namespace {

constexpr size_t kBatch = size_t{1} << 17;     // draws that walk back together
constexpr size_t kHopeless = size_t{1} << 21;  // misses in a row: nothing is there
// Adding a whole histogram costs about as much per cell as looking up a fifth of a number.
constexpr size_t kCellsPerLookUp = 5;

// One draw on its way back.
struct Walker {
  uint64_t seed = 0;
  int32_t state = 0;
  Grid::Shift at;     // its cell in the histogram of `state`
  double target = 0;  // the ways before this many are passed over
};

double Fraction(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

struct SubspaceSampler::Impl {
  Impl(const CostTables& the_tables, const SubspaceOptions& the_options);

  void Start(Random& random, std::vector<Walker>& walkers) const;
  // Takes the walkers from the states after a stage to those before it.
  void StepBack(size_t stage, std::vector<Walker>& walkers, std::vector<int>& choices) const;
  void Arrive(size_t stage, std::vector<Walker>& walkers, std::span<uint32_t> here,
              std::vector<int>& choices) const;
  void Choose(size_t stage, const Arrival& way, int layers_index, Walker& walker,
              std::span<int> choices) const;
  // One cell of Forward::Gather(), summed in the same order.
  double GatheredAt(size_t stage, const Arrival& way, const Grid::Shift& at) const;

  const CostTables& tables;
  SubspaceOptions options;
  std::vector<Arrivals> arrivals;
  std::vector<std::vector<size_t>> first_way;  // by stage and state after; one more at the end
  GridPlan plan;
  std::unique_ptr<Forward> forward;
  // The cells of the rounded sub-space, in order, with the running sum of their numbers.
  struct Slice {
    int32_t state;
    Grid::Shift at;  // in the histogram of `state`; further cells follow in bins
    size_t begin;    // in `running`
  };
  std::vector<Slice> slices;
  std::vector<double> running;
};

SubspaceSampler::Impl::Impl(const CostTables& the_tables, const SubspaceOptions& the_options)
    : tables(the_tables), options(the_options), arrivals(ArrivalsOf(tables)) {
  if (options.low_ps < 0 || options.high_ps < options.low_ps) {
    throw Error(ErrorKind::kInput, "the sub-space {:g} to {:g} ms is empty", MsOf(options.low_ps),
                MsOf(options.high_ps));
  }
  const Forward::Options keep{.exact = false, .keep = true};
  plan = PlanGrid(tables, arrivals,
                  {.top_ps = options.high_ps,
                   .limits = options.limits,
                   .resolution_ps = options.resolution_ps,
                   .memory_bytes = options.memory_bytes,
                   .forward = keep});
  forward = std::make_unique<Forward>(tables, arrivals, plan.grid, keep);
  for (size_t s = 0; s < arrivals.size(); ++s) {
    std::vector<size_t>& first = first_way.emplace_back();
    const auto& ways = arrivals[s].ways;
    for (size_t w = 0; w <= ways.size(); ++w) {
      const size_t state = w < ways.size() ? static_cast<size_t>(ways[w].state)
                                           : static_cast<size_t>(tables.stages()[s].states_after);
      while (first.size() <= state) first.push_back(w);
    }
  }

  const Grid& grid = plan.grid;
  const auto bin = [&](int64_t ps) { return grid.unit_ps == 0 ? 0 : ps / grid.unit_ps; };
  const int64_t low = std::max<int64_t>(0, bin(options.low_ps + plan.error.least.latency_ps));
  const int64_t high = bin(options.high_ps + plan.error.greatest.latency_ps);
  double sum = 0;
  for (size_t i = 0; i < tables.tail().size(); ++i) {
    const Grid::Shift tail = grid.Round(tables.tail()[i]);
    const Histogram& histogram = forward->At(arrivals.size())[i];
    const int64_t begin = std::max(low - tail.bins, histogram.begin);
    const int64_t end = std::min(high - tail.bins + 1, histogram.end);
    for (int64_t p = 0; p + tail.params < grid.params_rows; ++p) {
      for (int64_t m = 0; m + tail.macs < grid.macs_rows; ++m) {
        if (begin >= end) continue;
        slices.push_back({static_cast<int32_t>(i), Grid::Shift{begin, p, m}, running.size()});
        for (int64_t b = begin; b < end; ++b) {
          sum += histogram.value[grid.Cell({b, p, m})];
          running.push_back(sum);
        }
      }
    }
  }
  if (sum > 0) return;
  throw Error(ErrorKind::kTargetNotReached,
              "no network of space '{}' lies between {:g} and {:g} ms{}", tables.space().name(),
              MsOf(options.low_ps), MsOf(options.high_ps),
              options.limits.params || options.limits.macs ? " within the limits" : "");
}

void SubspaceSampler::Impl::Start(Random& random, std::vector<Walker>& walkers) const {
  for (Walker& walker : walkers) {
    walker.seed = random();
    const double target = random.Uniform() * running.back();
    auto cell = static_cast<size_t>(std::upper_bound(running.begin(), running.end(), target) -
                                    running.begin());
    cell = std::min(cell, running.size() - 1);
    const auto slice = std::upper_bound(slices.begin(), slices.end(), cell,
                                        [](size_t c, const Slice& s) { return c < s.begin; }) -
                       1;
    walker.state = slice->state;
    walker.at = slice->at + Grid::Shift{static_cast<int64_t>(cell - slice->begin), 0, 0};
  }
}

void SubspaceSampler::Impl::StepBack(size_t stage, std::vector<Walker>& walkers,
                                     std::vector<int>& choices) const {
  const std::vector<Histogram>& after = forward->At(stage + 1);
  for (Walker& walker : walkers) {
    const double number = after[static_cast<size_t>(walker.state)].value[plan.grid.Cell(walker.at)];
    walker.target = number * Fraction(Mix(walker.seed + stage));
  }
  std::vector<uint32_t> order(walkers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return walkers[a].state < walkers[b].state; });
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && walkers[order[end]].state == walkers[order[begin]].state) ++end;
    Arrive(stage, walkers, std::span(order).subspan(begin, end - begin), choices);
    begin = end;
  }
}

// All walkers in `here` are in the same state. Each passes over ways until its target is used up.
void SubspaceSampler::Impl::Arrive(size_t stage, std::vector<Walker>& walkers,
                                   std::span<uint32_t> here, std::vector<int>& choices) const {
  const Grid& grid = plan.grid;
  const StageTable& table = tables.stages()[stage];
  const std::vector<Histogram>& before = forward->At(stage);
  const int32_t state = walkers[here[0]].state;
  const size_t genes = tables.space().genes().size();
  for (const auto& [from, to] : arrivals[stage].skips) {
    if (to != state) continue;
    const Histogram& histogram = before[static_cast<size_t>(from)];
    size_t left = 0;
    for (const uint32_t i : here) {
      Walker& walker = walkers[i];
      const double number = histogram.value[grid.Cell(walker.at)];
      if (walker.target < number) {
        walker.state = from;
        if (table.layers_gene >= 0) choices[i * genes + static_cast<size_t>(table.layers_gene)] = 0;
      } else {
        walker.target -= number;
        here[left++] = i;
      }
    }
    here = here.first(left);
  }

  // Rounding may leave a target of almost nothing at the end; it then belongs to the last way.
  struct Last {
    const Arrival* way = nullptr;
    int layers_index = 0;
  };
  std::vector<Last> last(here.size());
  std::vector<uint32_t> slot(here.size());  // of `last`, by place in `here`
  std::iota(slot.begin(), slot.end(), 0u);
  Histogram gathered;
  const auto cells = static_cast<size_t>(grid.bins * grid.rows());
  const size_t first = first_way[stage][static_cast<size_t>(state)];
  const size_t end = first_way[stage][static_cast<size_t>(state) + 1];
  std::vector<Grid::Shift> rests;
  std::vector<std::ptrdiff_t> offsets;  // the same in cells
  std::vector<double> numbers;
  for (size_t w = first; w < end && !here.empty(); ++w) {
    const Arrival& way = arrivals[stage].ways[w];
    rests.clear();
    offsets.clear();
    for (int l = way.layers_begin; l < way.layers_end; ++l) {
      rests.push_back(grid.Round(way.rest * (table.layers[static_cast<size_t>(l)] - 1)));
      offsets.push_back(static_cast<std::ptrdiff_t>(grid.Cell(rests.back())));
    }
    const bool whole = here.size() * rests.size() * kCellsPerLookUp > cells;
    if (whole) {
      if (gathered.value.empty()) gathered = Histogram(grid, false);
      gathered.Clear(grid);
      forward->Gather(stage, way, gathered);
    }
    size_t left = 0;
    for (size_t h = 0; h < here.size(); ++h) {
      const uint32_t i = here[h];
      Walker& walker = walkers[i];
      // Cells of fewer layers come first; once one lies outside, so do all that follow.
      size_t inside = 0;
      while (inside < rests.size() && rests[inside].FitsInto(walker.at)) ++inside;
      numbers.resize(inside);
      if (whole) {
        const double* value = gathered.value.data() + grid.Cell(walker.at);
        for (size_t k = 0; k < inside; ++k) numbers[k] = *(value - offsets[k]);
      } else {
        for (size_t k = 0; k < inside; ++k) {
          numbers[k] = GatheredAt(stage, way, walker.at - rests[k]);
        }
      }
      double target = walker.target;
      size_t chosen = 0;
      while (chosen < inside && target >= numbers[chosen]) target -= numbers[chosen++];
      walker.target = target;
      if (chosen < inside) {
        Choose(stage, way, way.layers_begin + static_cast<int>(chosen), walker,
               std::span(choices).subspan(i * genes, genes));
        continue;
      }
      for (size_t k = inside; k > 0; --k) {
        if (numbers[k - 1] == 0) continue;
        last[slot[h]] = {&way, way.layers_begin + static_cast<int>(k - 1)};
        break;
      }
      here[left] = i;
      slot[left++] = slot[h];
    }
    here = here.first(left);
  }
  for (size_t h = 0; h < here.size(); ++h) {
    const Last& way = last[slot[h]];
    if (way.way == nullptr) throw Error(ErrorKind::kInternal, "a draw of stage {} is lost", stage);
    walkers[here[h]].target = 0;
    Choose(stage, *way.way, way.layers_index, walkers[here[h]],
           std::span(choices).subspan(here[h] * genes, genes));
  }
}

double SubspaceSampler::Impl::GatheredAt(size_t stage, const Arrival& way,
                                         const Grid::Shift& at) const {
  const std::vector<Histogram>& before = forward->At(stage);
  double number = 0;
  for (const Arrival::From& from : way.from) {
    const Grid::Shift first = plan.grid.Round(from.first);
    if (first.FitsInto(at)) {
      number += before[static_cast<size_t>(from.state)].value[plan.grid.Cell(at - first)];
    }
  }
  return number;
}

// The state before the way that was chosen; sets the stage's genes.
void SubspaceSampler::Impl::Choose(size_t stage, const Arrival& way, int layers_index,
                                   Walker& walker, std::span<int> choices) const {
  const Grid& grid = plan.grid;
  const StageTable& table = tables.stages()[stage];
  const std::vector<Histogram>& before = forward->At(stage);
  walker.at =
      walker.at - grid.Round(way.rest * (table.layers[static_cast<size_t>(layers_index)] - 1));
  const Arrival::From* chosen = nullptr;
  for (const Arrival::From& from : way.from) {
    const Grid::Shift first = grid.Round(from.first);
    if (!first.FitsInto(walker.at)) continue;
    const double number =
        before[static_cast<size_t>(from.state)].value[grid.Cell(walker.at - first)];
    if (number == 0) continue;
    chosen = &from;
    if (walker.target < number) break;
    walker.target -= number;
  }
  if (chosen == nullptr) throw Error(ErrorKind::kInternal, "a draw of stage {} is lost", stage);
  walker.at = walker.at - grid.Round(chosen->first);
  walker.state = chosen->state;
  const auto set = [&](int gene, int choice) {
    if (gene >= 0) choices[static_cast<size_t>(gene)] = choice;
  };
  set(table.filters_gene, way.filter);
  set(table.layers_gene, layers_index);
  for (const StageTable::Axis& axis : table.variant_axes) {
    set(axis.gene, way.variant / axis.stride % axis.size);
  }
}

SubspaceSampler::SubspaceSampler(const CostTables& tables, const SubspaceOptions& options)
    : impl_(std::make_unique<Impl>(tables, options)) {}
SubspaceSampler::~SubspaceSampler() = default;
SubspaceSampler::SubspaceSampler(SubspaceSampler&&) noexcept = default;

double SubspaceSampler::rounded_count() const { return impl_->running.back(); }

Draws SubspaceSampler::Draw(size_t count, Random& random) const {
  const std::vector<Gene>& genes = impl_->tables.space().genes();
  const int resolution_gene = impl_->tables.space().resolution().gene;
  Draws draws{.genes = genes.size(), .encodings = {}, .costs = {}};
  draws.encodings.reserve(count * genes.size());
  draws.costs.reserve(count);
  size_t tried = 0, missed = 0;
  while (draws.size() < count) {
    const double hits =
        tried == 0 ? 1.0 : static_cast<double>(draws.size() + 1) / static_cast<double>(tried + 1);
    const double wanted = static_cast<double>(count - draws.size()) / hits;
    std::vector<Walker> walkers(static_cast<size_t>(std::min<double>(wanted + 8, kBatch)));
    std::vector<int> choices(walkers.size() * genes.size(), 0);
    impl_->Start(random, walkers);
    for (size_t s = impl_->arrivals.size(); s-- > 0;) impl_->StepBack(s, walkers, choices);
    for (size_t i = 0; i < walkers.size() && draws.size() < count; ++i) {
      const std::span<int> mine = std::span(choices).subspan(i * genes.size(), genes.size());
      if (resolution_gene >= 0) mine[static_cast<size_t>(resolution_gene)] = walkers[i].state;
      const Cost cost = impl_->tables.OfIndices(mine);
      const bool inside = impl_->options.Contains(cost);
      missed = inside ? 0 : missed + 1;
      if (!inside) continue;
      draws.costs.push_back(cost);
      for (size_t g = 0; g < genes.size(); ++g) {
        draws.encodings.push_back(genes[g].choices[static_cast<size_t>(mine[g])]);
      }
    }
    tried += walkers.size();
    if (missed < kHopeless) continue;
    throw Error(ErrorKind::kTargetNotReached,
                "space '{}': of {} networks near {:g} to {:g} ms none lies inside, so at most a "
                "few do; widen the interval",
                impl_->tables.space().name(), missed, MsOf(impl_->options.low_ps),
                MsOf(impl_->options.high_ps));
  }
  return draws;
}

}  // namespace lathe::space
