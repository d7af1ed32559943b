#include "report/effects.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace lathe::report {

std::optional<double> ExplainedShare(std::span<const int> choices, std::span<const double> values) {
  struct Group {
    double sum = 0;
    double count = 0;
  };
  std::map<int, Group> groups;
  Group all;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    for (Group* group : {&groups[choices[i]], &all}) {
      group->sum += values[i];
      ++group->count;
    }
  }
  const double within_freedom = all.count - static_cast<double>(groups.size());
  if (all.count < kFewestForEffects || within_freedom < 1) return std::nullopt;
  const double mean = all.sum / all.count;
  double total = 0, within = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    const Group& group = groups[choices[i]];
    total += std::pow(values[i] - mean, 2);
    within += std::pow(values[i] - group.sum / group.count, 2);
  }
  if (total <= 1e-18 * all.count * mean * mean) return std::nullopt;
  const double by_chance = static_cast<double>(groups.size() - 1) * within / within_freedom;
  return std::clamp((total - within - by_chance) / total, 0.0, 1.0);
}

}  // namespace lathe::report
