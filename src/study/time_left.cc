#include "study/time_left.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace lathe::study {
namespace {

// Of what a trial takes: what one still takes that runs longer than any did.
constexpr double kOverdue = 0.1;

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Rest(double elapsed, const std::vector<double>& durations) {
  std::vector<double> longer;
  std::ranges::copy_if(durations, std::back_inserter(longer),
                       [&](double duration) { return duration > elapsed; });
  return longer.empty() ? kOverdue * Mean(durations) : Mean(longer) - elapsed;
}

}  // namespace

std::optional<double> SecondsLeft(const Workload& work) {
  if (work.running.empty() && work.to_start == 0) return 0;
  if (work.durations.empty() || work.slots <= 0) return std::nullopt;
  const double each = Mean(work.durations);
  std::vector<double> busy;  // for how long each slot is
  for (const double elapsed : work.running) busy.push_back(Rest(elapsed, work.durations));
  busy.resize(std::max(busy.size(), static_cast<size_t>(work.slots)), 0.0);
  std::ranges::sort(busy);
  // Whole rounds take all slots alike; what is left goes to those that are free first.
  const auto slots = static_cast<int64_t>(busy.size());
  const int64_t rounds = work.to_start / slots;
  for (int64_t i = 0; i < work.to_start % slots; ++i) busy[static_cast<size_t>(i)] += each;
  return static_cast<double>(rounds) * each + *std::ranges::max_element(busy);
}

}  // namespace lathe::study
