#include "study/proxy.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "latency/stats.h"

namespace lathe::study {

Agreement AgreementOf(const std::vector<double>& early, const std::vector<double>& late) {
  const auto varies = [](const std::vector<double>& values) {
    return std::ranges::any_of(values, [&](double value) { return value != values.front(); });
  };
  Agreement agreement{.networks = early.size(), .spearman = {}};
  if (early.size() >= kFewestForProxy && varies(early) && varies(late)) {
    agreement.spearman = latency::Spearman(early, late);
  }
  return agreement;
}

std::map<int, Agreement> EpochAgreements(const std::vector<Call>& calls,
                                         const std::vector<TrialRecord>& trials) {
  std::map<int64_t, double> ends;
  for (const TrialRecord& trial : trials) {
    if (trial.state == TrialState::kComplete && trial.imported_from.empty() && trial.value) {
      ends[trial.number] = *trial.value;
    }
  }
  std::map<int, std::pair<std::vector<double>, std::vector<double>>> by_epoch;
  for (const Call& call : calls) {
    const auto end = ends.find(call.trial);
    if (call.kind != CallKind::kReport || end == ends.end()) continue;
    if (!call.value || !std::isfinite(*call.value)) continue;
    auto& [early, late] = by_epoch[*call.step];
    early.push_back(*call.value);
    late.push_back(end->second);
  }
  if (!by_epoch.empty()) by_epoch.erase(std::prev(by_epoch.end()));
  std::map<int, Agreement> agreements;
  for (const auto& [epoch, values] : by_epoch) {
    agreements[epoch] = AgreementOf(values.first, values.second);
  }
  return agreements;
}

}  // namespace lathe::study
