#include "space/forward.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace lathe::space {
namespace {

constexpr int64_t kFar = int64_t{1} << 60;

int LayersOf(const StageTable& table, int layers_index) {
  return table.layers[static_cast<size_t>(layers_index)];
}

// Least, greatest and moments of a set of ways.
struct Sums {
  Cost least{kFar, kFar, kFar}, greatest{-kFar, -kFar, -kFar};
  double count = 0;
  double latency = 0, params = 0, macs = 0, squares = 0;  // sums; squares of latencies

  void Merge(const Sums& other, const Cost& plus) {
    if (other.count == 0) return;
    const Cost low = other.least + plus, high = other.greatest + plus;
    least = {std::min(least.latency_ps, low.latency_ps), std::min(least.params, low.params),
             std::min(least.macs, low.macs)};
    greatest = {std::max(greatest.latency_ps, high.latency_ps),
                std::max(greatest.params, high.params), std::max(greatest.macs, high.macs)};
    const auto x = static_cast<double>(plus.latency_ps);
    count += other.count;
    latency += other.latency + x * other.count;
    params += other.params + static_cast<double>(plus.params) * other.count;
    macs += other.macs + static_cast<double>(plus.macs) * other.count;
    squares += other.squares + 2 * x * other.latency + x * x * other.count;
  }
};

}  // namespace

std::vector<Arrivals> ArrivalsOf(const CostTables& tables) {
  std::vector<Arrivals> arrivals;
  for (const StageTable& table : tables.stages()) arrivals.push_back(ArrivalsOf(table));
  return arrivals;
}

PathSums SumOverPaths(const CostTables& tables, const std::vector<Arrivals>& arrivals,
                      const std::function<Cost(const Cost&)>& term) {
  Sums start;
  start.Merge({.least = {}, .greatest = {}, .count = 1}, {});
  std::vector<Sums> before(static_cast<size_t>(tables.resolutions()), start);
  for (size_t s = 0; s < arrivals.size(); ++s) {
    const StageTable& table = tables.stages()[s];
    std::vector<Sums> after(static_cast<size_t>(table.states_after));
    for (const auto& [from, to] : arrivals[s].skips) {
      after[static_cast<size_t>(to)].Merge(before[static_cast<size_t>(from)], {});
    }
    for (const Arrival& way : arrivals[s].ways) {
      Sums gathered;
      for (const Arrival::From& from : way.from) {
        gathered.Merge(before[static_cast<size_t>(from.state)], term(from.first));
      }
      for (int l = way.layers_begin; l < way.layers_end; ++l) {
        after[static_cast<size_t>(way.state)].Merge(gathered,
                                                    term(way.rest * (LayersOf(table, l) - 1)));
      }
    }
    before = std::move(after);
  }
  Sums all;
  for (size_t i = 0; i < before.size(); ++i) all.Merge(before[i], term(tables.tail()[i]));
  return {.least = all.least,
          .greatest = all.greatest,
          .mean = {std::llround(all.latency / all.count), std::llround(all.params / all.count),
                   std::llround(all.macs / all.count)},
          .rms_ps = std::sqrt(all.squares / all.count)};
}

double ForwardBytes(const CostTables& tables, const Grid& grid, const Forward::Options& options) {
  const double cell = options.exact ? 16 : 8;
  double states = tables.resolutions(), sum = states, widest = states;
  for (const StageTable& table : tables.stages()) {
    widest = std::max(widest, states + table.states_after);
    states = table.states_after;
    sum += states;
  }
  return cell * static_cast<double>(grid.bins * grid.rows()) * ((options.keep ? sum : widest) + 2);
}

Forward::Forward(const CostTables& tables, const std::vector<Arrivals>& arrivals, const Grid& grid,
                 const Options& options)
    : tables_(tables), arrivals_(arrivals), grid_(grid), exact_(options.exact) {
  FindLimits();
  boundaries_.resize(arrivals.size() + 1);
  for (int i = 0; i < tables.resolutions(); ++i) {
    Histogram& start = boundaries_[0].emplace_back(grid_, exact_);
    if (limits_[0][static_cast<size_t>(i)] <= 0) continue;
    start.value[0] = 1;
    if (exact_) start.low[0] = 1;
    start.end = 1;
  }
  constexpr std::array<Grid::Shift, 1> kNoShift = {};
  std::vector<Grid::Shift> shifts;
  Histogram gathered(grid_, exact_);
  for (size_t s = 0; s < arrivals.size(); ++s) {
    const StageTable& table = tables.stages()[s];
    std::vector<Histogram>& after = boundaries_[s + 1];
    for (int i = 0; i < table.states_after; ++i) after.emplace_back(grid_, exact_);
    const std::vector<int64_t>& limits = limits_[s + 1];
    for (const auto& [from, to] : arrivals[s].skips) {
      AddShifted(grid_, boundaries_[s][static_cast<size_t>(from)], kNoShift,
                 limits[static_cast<size_t>(to)], after[static_cast<size_t>(to)]);
    }
    for (const Arrival& way : arrivals[s].ways) {
      gathered.Clear(grid_);
      Gather(s, way, gathered);
      const auto state = static_cast<size_t>(way.state);
      shifts.clear();
      for (int l = way.layers_begin; l < way.layers_end; ++l) {
        shifts.push_back(grid_.Round(way.rest * (LayersOf(table, l) - 1)));
      }
      AddShifted(grid_, gathered, shifts, limits[state], after[state]);
    }
    if (!options.keep) boundaries_[s].clear();
  }
}

void Forward::Gather(size_t stage, const Arrival& way, Histogram& sum) const {
  const int64_t limit = limits_[stage + 1][static_cast<size_t>(way.state)];
  for (const Arrival::From& from : way.from) {
    const std::array shift = {grid_.Round(from.first)};
    AddShifted(grid_, boundaries_[stage][static_cast<size_t>(from.state)], shift, limit, sum);
  }
}

// Bins that still leave room for the fastest way to finish the network.
void Forward::FindLimits() {
  limits_.resize(arrivals_.size() + 1);
  for (const Cost& tail : tables_.tail()) {
    limits_.back().push_back(grid_.bins - grid_.Round(tail).bins);
  }
  for (size_t s = arrivals_.size(); s-- > 0;) {
    const StageTable& table = tables_.stages()[s];
    std::vector<int64_t>& limits = limits_[s];
    limits.assign(static_cast<size_t>(table.states_before), 0);
    const auto raise = [&](int32_t before, int32_t after, int64_t bins) {
      int64_t& limit = limits[static_cast<size_t>(before)];
      limit = std::max(limit, limits_[s + 1][static_cast<size_t>(after)] - bins);
    };
    for (const auto& [from, to] : arrivals_[s].skips) raise(from, to, 0);
    for (const Arrival& way : arrivals_[s].ways) {
      const Cost fewest = way.rest * (LayersOf(table, way.layers_begin) - 1);
      for (const Arrival::From& from : way.from) {
        raise(from.state, way.state, grid_.Round(from.first).bins + grid_.Round(fewest).bins);
      }
    }
  }
}

Histogram Forward::Networks() const {
  Histogram networks(grid_, exact_);
  for (size_t i = 0; i < tables_.tail().size(); ++i) {
    const std::array shift = {grid_.Round(tables_.tail()[i])};
    AddShifted(grid_, boundaries_.back()[i], shift, grid_.bins, networks);
  }
  return networks;
}

}  // namespace lathe::space
