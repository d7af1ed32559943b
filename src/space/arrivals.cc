#include "space/arrivals.h"

#include <algorithm>
#include <tuple>

namespace lathe::space {

Arrivals ArrivalsOf(const StageTable& table) {
  Arrivals arrivals;
  for (int32_t before = 0; before < table.states_before; ++before) {
    const int32_t after = table.skip[static_cast<size_t>(before)];
    if (after != StageTable::kNone) arrivals.skips.emplace_back(before, after);
  }
  const int first_layers = table.layers.front() == 0 ? 1 : 0;
  const int all_layers = static_cast<int>(table.layers.size());
  for (int f = 0; f < table.filters; ++f) {
    for (int v = 0; v < table.variants; ++v) {
      const size_t known = arrivals.ways.size();
      const auto add = [&](int32_t before, size_t first, int layers_begin, int layers_end) {
        const int32_t after = table.next[table.NextIndex(first, layers_begin)];
        if (after == StageTable::kNone) return;
        auto way = std::find_if(arrivals.ways.begin() + static_cast<std::ptrdiff_t>(known),
                                arrivals.ways.end(), [&](const Arrival& arrival) {
                                  return arrival.state == after &&
                                         arrival.layers_begin == layers_begin &&
                                         arrival.layers_end == layers_end;
                                });
        if (way == arrivals.ways.end()) {
          arrivals.ways.push_back({.state = after,
                                   .filter = f,
                                   .variant = v,
                                   .layers_begin = layers_begin,
                                   .layers_end = layers_end,
                                   .rest = table.rest[table.RestIndex(after, v)],
                                   .from = {}});
          way = arrivals.ways.end() - 1;
        }
        way->from.push_back({before, table.first[first]});
      };
      for (int32_t before = 0; before < table.states_before; ++before) {
        const size_t first = table.FirstIndex(before, f, v);
        if (table.next_by_layers) {
          for (int l = first_layers; l < all_layers; ++l) add(before, first, l, l + 1);
        } else if (!table.layers_of_state.empty()) {
          const int l = table.layers_of_state[static_cast<size_t>(before)];
          add(before, first, l, l + 1);
        } else {
          add(before, first, first_layers, all_layers);
        }
      }
    }
  }
  std::stable_sort(arrivals.ways.begin(), arrivals.ways.end(),
                   [](const Arrival& a, const Arrival& b) { return a.state < b.state; });
  return arrivals;
}

}  // namespace lathe::space
