#include "latency/stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lathe::latency {
namespace {

// Indices of the values in ascending order.
std::vector<size_t> Order(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [values](size_t i) { return values[i]; });
  return order;
}

std::vector<double> Ranks(std::span<const double> values) {
  const std::vector<size_t> order = Order(values);
  std::vector<double> ranks(values.size());
  for (size_t first = 0; first < order.size();) {
    size_t last = first;
    while (last + 1 < order.size() && values[order[last + 1]] == values[order[first]]) ++last;
    for (size_t i = first; i <= last; ++i)
      ranks[order[i]] = 0.5 * static_cast<double>(first + last);
    first = last + 1;
  }
  return ranks;
}

}  // namespace

double Quantile(std::vector<double> values, double q) {
  const double position = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  std::nth_element(values.begin(), values.begin() + below, values.end());
  const double low = values[below];
  if (below + 1 >= values.size()) return low;
  const double high = *std::min_element(values.begin() + below + 1, values.end());
  return low + (position - static_cast<double>(below)) * (high - low);
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double WeightedMedian(std::span<const double> values, std::span<const double> weights) {
  const double half = 0.5 * std::accumulate(weights.begin(), weights.end(), 0.0);
  const std::vector<size_t> order = Order(values);
  double below = 0;
  for (const size_t i : order) {
    below += weights[i];
    if (below >= half) return values[i];
  }
  return values[order.back()];
}

double RelativeSpread(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  return (Quantile(values, 0.9) - Quantile(values, 0.1)) / Median(values);
}

double Spearman(std::span<const double> a, std::span<const double> b) {
  if (a.size() < 2) return 0;
  const std::vector<double> ra = Ranks(a);
  const std::vector<double> rb = Ranks(b);
  const double mean = 0.5 * static_cast<double>(a.size() - 1);
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (ra[i] - mean) * (rb[i] - mean);
    aa += (ra[i] - mean) * (ra[i] - mean);
    bb += (rb[i] - mean) * (rb[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

ErrorBand Compare(std::span<const double> predicted, std::span<const double> measured) {
  ErrorBand band;
  band.networks = static_cast<int>(measured.size());
  if (measured.empty()) return band;
  std::vector<double> absolute;
  for (size_t i = 0; i < measured.size(); ++i) {
    const double error = predicted[i] / measured[i] - 1;
    band.bias += error / static_cast<double>(measured.size());
    band.mape += std::abs(error) / static_cast<double>(measured.size());
    absolute.push_back(std::abs(error));
  }
  band.p95 = Quantile(std::move(absolute), 0.95);
  band.spearman = Spearman(predicted, measured);
  return band;
}

}  // namespace lathe::latency
