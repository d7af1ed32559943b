#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "search/proposer.h"

namespace lathe::search {

std::vector<size_t> ParetoFront(const std::vector<double>& cost, const std::vector<double>& value) {
  if (cost.size() != value.size()) {
    throw Error(ErrorKind::kInternal, "Pareto front of {} costs and {} values", cost.size(),
                value.size());
  }
  std::vector<size_t> order;
  for (size_t i = 0; i < cost.size(); ++i) {
    if (!std::isnan(cost[i]) && !std::isnan(value[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return cost[a] != cost[b] ? cost[a] < cost[b] : value[a] > value[b];
  });
  std::vector<size_t> front;
  for (size_t i : order) {
    // Equal points do not beat each other: all of them stay.
    const bool same =
        !front.empty() && cost[i] == cost[front.back()] && value[i] == value[front.back()];
    if (front.empty() || value[i] > value[front.back()] || same) front.push_back(i);
  }
  return front;
}

}  // namespace lathe::search
