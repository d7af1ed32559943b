#include "space/count.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "space/counting.h"
#include "space/forward.h"

namespace lathe::space {
namespace {

constexpr double kMostBins = 8192;  // chosen, not asked for: 1 us up to 8 ms
// With limits, the grid has as many cells as memory and these allow.
constexpr double kMostCells = 1 << 20, kFewestCells = 1 << 12;
constexpr double kMostAdditions = 2e10;  // some ten seconds

std::string Digits(Uint128 number) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(number % 10)));
    number /= 10;
  } while (number != 0);
  return digits;
}

// Running sums of the cells of a histogram.
struct Sum {
  double value = 0;
  uint64_t low = 0;
  BigCount Count() const {
    BigCount count{.approx = value, .exact = {}};
    if (value < kExactBelow) {
      count.exact = ExactCount(value, low);
      count.approx = static_cast<double>(*count.exact);
    }
    return count;
  }
};

BigCount Minus(const BigCount& a, const BigCount& b) {
  BigCount difference{.approx = std::max(a.approx - b.approx, 0.0), .exact = {}};
  if (a.exact && b.exact) {
    difference.exact = *a.exact > *b.exact ? *a.exact - *b.exact : 0;
    difference.approx = static_cast<double>(*difference.exact);
  }
  return difference;
}

void CheckEdges(const std::vector<int64_t>& edges) {
  if (edges.empty()) throw Error(ErrorKind::kInput, "counting sub-spaces needs at least one edge");
  for (size_t i = 0; i < edges.size(); ++i) {
    if (edges[i] > (i == 0 ? 0 : edges[i - 1])) continue;
    throw Error(ErrorKind::kInput, "edges must be above 0 and ascend; {:g} ms does not follow {}",
                MsOf(edges[i]), i == 0 ? "0" : fmt::format("{:g} ms", MsOf(edges[i - 1])));
  }
}

// Every network, one by one.
class Enumeration {
 public:
  Enumeration(const CostTables& tables, const CountOptions& options)
      : tables_(tables), options_(options), counts_(options.edges_ps.size() + 1, 0) {
    for (int32_t i = 0; i < tables.resolutions(); ++i) Visit(0, i, {});
  }
  const std::vector<uint64_t>& counts() const { return counts_; }

 private:
  void Visit(size_t stage, int32_t state, const Cost& cost) {
    if (stage == tables_.stages().size()) {
      const Cost total = cost + tables_.tail()[static_cast<size_t>(state)];
      if (!options_.limits.Hold(total)) return;
      const auto& edges = options_.edges_ps;
      const auto bucket = std::upper_bound(edges.begin(), edges.end(), total.latency_ps);
      ++counts_[static_cast<size_t>(bucket - edges.begin())];
      return;
    }
    const StageTable& table = tables_.stages()[stage];
    const int32_t skip = table.skip[static_cast<size_t>(state)];
    if (skip != StageTable::kNone) Visit(stage + 1, skip, cost);
    const int none = table.layers.front() == 0 ? 1 : 0;
    for (int f = 0; f < table.filters; ++f) {
      for (int v = 0; v < table.variants; ++v) {
        const size_t first = table.FirstIndex(state, f, v);
        for (int l = none; l < static_cast<int>(table.layers.size()); ++l) {
          const int32_t next = table.next[table.NextIndex(first, l)];
          if (next == StageTable::kNone || !table.Allows(state, l)) continue;
          const int64_t more = table.layers[static_cast<size_t>(l)] - 1;
          Visit(stage + 1, next,
                cost + table.first[first] + table.rest[table.RestIndex(next, v)] * more);
        }
      }
    }
  }

  const CostTables& tables_;
  const CountOptions& options_;
  std::vector<uint64_t> counts_;
};

BigCount CountAll(const CostTables& tables, const std::vector<Arrivals>& arrivals) {
  const Grid one;  // looks at no cost
  const Histogram all = Forward(tables, arrivals, one, {}).Networks();
  return Sum{all.value[0], all.low[0]}.Count();
}

// Cells of the networks that hold the limits, summed over rows: number by bin.
struct Profile {
  std::vector<Sum> below;  // below[b]: in bins before b; bins + 1 entries

  Profile(const Histogram& networks, const Grid& grid, int64_t params_rows, int64_t macs_rows) {
    below.resize(static_cast<size_t>(grid.bins) + 1);
    Sum sum;
    for (int64_t bin = 0; bin < grid.bins; ++bin) {
      for (int64_t p = 0; p < params_rows; ++p) {
        for (int64_t m = 0; m < macs_rows; ++m) {
          const size_t cell = grid.Cell({bin, p, m});
          sum.value += networks.value[cell];
          sum.low += networks.low[cell];
        }
      }
      below[static_cast<size_t>(bin) + 1] = sum;
    }
  }
  // Networks whose rounded latency is below `ps`.
  BigCount Below(int64_t ps, int64_t unit) const {
    const int64_t bins = unit == 0 ? 1 : ps <= 0 ? 0 : (ps - 1) / unit + 1;
    return below[static_cast<size_t>(std::min(bins, std::ssize(below) - 1))].Count();
  }
};

// Rows whose rounded value is at most `limit`; all where there is none.
int64_t RowsWithin(int64_t rows, int64_t unit, int64_t limit) {
  if (unit == 0) return rows;
  return limit < 0 ? 0 : std::min(rows, limit / unit + 1);
}

}  // namespace

std::string BigCount::Text() const {
  return exact ? Digits(*exact) : fmt::format("{:.12e}", approx);
}

int64_t NiceUnit(double at_least) {
  const double magnitude = std::pow(10.0, std::floor(std::log10(std::max(at_least, 1.0))));
  for (const double step : {1.0, 2.0, 5.0, 10.0}) {
    if (step * magnitude >= at_least) return std::llround(step * magnitude);
  }
  return std::llround(10 * magnitude);
}

// Additions of whole histograms that a Forward makes.
double AdditionsOf(const std::vector<Arrivals>& arrivals) {
  double additions = 0;
  for (const Arrivals& stage : arrivals) {
    additions += static_cast<double>(stage.skips.size());
    for (const Arrival& way : stage.ways) {
      additions += static_cast<double>(way.from.size()) + way.layers_end - way.layers_begin;
    }
  }
  return additions;
}

GridPlan PlanGrid(const CostTables& tables, const std::vector<Arrivals>& arrivals,
                  const GridRequest& request) {
  const PathSums range = SumOverPaths(tables, arrivals, [](const Cost& cost) { return cost; });
  const double top = static_cast<double>(std::min(request.top_ps, range.greatest.latency_ps));
  const int limits = (request.limits.params ? 1 : 0) + (request.limits.macs ? 1 : 0);
  GridPlan plan;
  Grid& grid = plan.grid;
  const double cells = std::clamp(std::min(static_cast<double>(request.memory_bytes) /
                                               ForwardBytes(tables, grid, request.forward),
                                           kMostAdditions / std::max(AdditionsOf(arrivals), 1.0)),
                                  kFewestCells, kMostCells);
  // Latency gets four times the steps of each of the others.
  const double bins = limits == 0   ? kMostBins
                      : limits == 1 ? 4 * std::sqrt(cells / 4)
                                    : 4 * std::cbrt(cells / 4);
  const double rows = bins / 4;
  grid.unit_ps = request.resolution_ps > 0 ? request.resolution_ps : NiceUnit(top / bins);
  // The limit lies half-way between two rows, so that rounding takes to either side what is on it;
  // and the limit is moved by what rounding adds on average.
  const auto unit_of = [&](const std::optional<int64_t>& limit, int64_t greatest, int64_t added) {
    if (!limit) return int64_t{0};
    const auto top_row = static_cast<double>(std::min(*limit, greatest) + added);
    return std::max<int64_t>(1, std::llround(top_row / (std::floor(rows) + 0.5)));
  };
  const auto measure = [&](const Cost& added) {
    grid.unit_params = unit_of(request.limits.params, range.greatest.params, added.params);
    grid.unit_macs = unit_of(request.limits.macs, range.greatest.macs, added.macs);
    plan.error = SumOverPaths(tables, arrivals, [&](const Cost& cost) {
      const Cost rounded = grid.Value(grid.Round(cost));
      return Cost{grid.unit_ps ? rounded.latency_ps - cost.latency_ps : 0,
                  grid.unit_params ? rounded.params - cost.params : 0,
                  grid.unit_macs ? rounded.macs - cost.macs : 0};
    });
  };
  measure({});
  if (limits > 0) measure(plan.error.mean);
  // One more cell than the largest rounded value of interest.
  const int64_t top_ps = std::min(request.top_ps, range.greatest.latency_ps);
  grid.bins = (top_ps + plan.error.greatest.latency_ps) / grid.unit_ps + 2;
  if (grid.unit_params) {
    grid.params_rows =
        (std::min(*request.limits.params, range.greatest.params) + plan.error.greatest.params) /
            grid.unit_params +
        2;
  }
  if (grid.unit_macs) {
    grid.macs_rows =
        (std::min(*request.limits.macs, range.greatest.macs) + plan.error.greatest.macs) /
            grid.unit_macs +
        2;
  }
  const double bytes = ForwardBytes(tables, grid, request.forward);
  if (bytes <= static_cast<double>(request.memory_bytes)) return plan;
  if (request.resolution_ps > 0) {
    throw Error(ErrorKind::kInput,
                "a latency resolution of {:g} us up to {:.3f} ms needs {:.1f} GiB, more than the "
                "{:.1f} allowed; give a coarser one, or lower edges",
                UsOf(grid.unit_ps), top * 1e-9, bytes / (1 << 30),
                static_cast<double>(request.memory_bytes) / (1 << 30));
  }
  GridRequest coarser = request;
  coarser.resolution_ps = NiceUnit(static_cast<double>(grid.unit_ps) * 1.01 * bytes /
                                   static_cast<double>(request.memory_bytes));
  return PlanGrid(tables, arrivals, coarser);
}

SubspaceCounts CountSubspaces(const CostTables& tables, const CountOptions& options) {
  CheckEdges(options.edges_ps);
  const std::vector<Arrivals> arrivals = ArrivalsOf(tables);
  SubspaceCounts counts;
  counts.networks = CountAll(tables, arrivals);
  counts.buckets.resize(options.edges_ps.size() + 1);
  if (counts.networks.approx <= options.enumerate_up_to) {
    const Enumeration enumeration(tables, options);
    counts.enumerated = true;
    for (size_t i = 0; i < counts.buckets.size(); ++i) {
      const uint64_t number = enumeration.counts()[i];
      const BigCount count{.approx = static_cast<double>(number), .exact = number};
      counts.buckets[i] = {count, count, count};
    }
    return counts;
  }

  const GridPlan plan = PlanGrid(tables, arrivals,
                                 {.top_ps = options.edges_ps.back(),
                                  .limits = options.limits,
                                  .resolution_ps = options.resolution_ps,
                                  .memory_bytes = options.memory_bytes,
                                  .forward = {.exact = true, .keep = false}});
  const Grid& grid = plan.grid;
  const Cost& low = plan.error.least;
  const Cost& high = plan.error.greatest;
  counts.resolution_ps = grid.unit_ps;
  counts.error_low_us = UsOf(low.latency_ps);
  counts.error_high_us = UsOf(high.latency_ps);
  counts.error_rms_us = plan.error.rms_ps / kPsPerUs;

  const Histogram networks = Forward(tables, arrivals, grid, {}).Networks();
  Grid slow = grid;  // the same limits, latency not looked at
  slow.unit_ps = 0;
  slow.bins = 1;
  const Histogram all = Forward(tables, arrivals, slow, {}).Networks();
  // By rounded costs, and for limits so much tighter or looser that no network within, or all of
  // them, are counted.
  struct Reading {
    Profile fast, any;
  };
  const auto read = [&](const Cost& slack) {
    const auto rows = [](int64_t count, int64_t unit, const std::optional<int64_t>& limit,
                         int64_t more) {
      return limit ? RowsWithin(count, unit, *limit + more) : count;
    };
    const int64_t p = rows(grid.params_rows, grid.unit_params, options.limits.params, slack.params);
    const int64_t m = rows(grid.macs_rows, grid.unit_macs, options.limits.macs, slack.macs);
    return Reading{Profile(networks, grid, p, m), Profile(all, slow, p, m)};
  };
  const Reading plain = read({0, plan.error.mean.params, plan.error.mean.macs}), tight = read(low),
                loose = read(high);
  const size_t edges = options.edges_ps.size();
  // Number below each edge, then all of them: counted, at least, at most.
  std::vector<BigCount> below, least, most;
  for (const int64_t edge : options.edges_ps) {
    below.push_back(plain.fast.Below(edge, grid.unit_ps));
    least.push_back(tight.fast.Below(edge + low.latency_ps, grid.unit_ps));
    most.push_back(loose.fast.Below(edge + high.latency_ps, grid.unit_ps));
  }
  below.push_back(plain.any.Below(0, 0));
  least.push_back(tight.any.Below(0, 0));
  most.push_back(loose.any.Below(0, 0));
  for (size_t i = 0; i <= edges; ++i) {
    const BigCount none{.approx = 0, .exact = 0};
    counts.buckets[i] = {.count = Minus(below[i], i == 0 ? none : below[i - 1]),
                         .low = Minus(least[i], i == 0 ? none : most[i - 1]),
                         .high = Minus(most[i], i == 0 ? none : least[i - 1])};
  }
  return counts;
}

CostRange RangeOf(const CostTables& tables) {
  const PathSums sums =
      SumOverPaths(tables, ArrivalsOf(tables), [](const Cost& cost) { return cost; });
  return {.least = sums.least, .greatest = sums.greatest};
}

}  // namespace lathe::space
