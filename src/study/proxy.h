// How well a short training stands for a longer one: rank correlations between what a study saw
// early and late.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "study/calls.h"
#include "study/store.h"

namespace lathe::study {

inline constexpr size_t kFewestForProxy = 5;  // networks before a correlation says anything

struct Agreement {
  size_t networks = 0;
  std::optional<double> spearman;  // nullopt: too few of them, or all the same on one side
};
Agreement AgreementOf(const std::vector<double>& early, const std::vector<double>& late);

// By epoch: the objective after it and in the end, over the complete trials that were trained in
// the study. Without the last epoch, which is the end.
std::map<int, Agreement> EpochAgreements(const std::vector<Call>& calls,
                                         const std::vector<TrialRecord>& trials);

}  // namespace lathe::study
