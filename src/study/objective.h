// What a study minimises: [search] goal, alpha and beta of the study file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "search/proposer.h"

namespace lathe::study {

enum class Aim {
  kWeighted,  // cross_entropy + alpha * latency_ms^beta
  kAccuracy,  // 1 - accuracy: the most accurate network of the sub-space
  kFront      // 1 - accuracy and latency: those that no other network beats in both
};
std::string_view Name(Aim aim);  // "weighted", "accuracy", "front"
std::vector<std::string_view> AimNames();
Aim ParseAim(std::string_view name);  // one of AimNames()

struct StudyObjective {
  Aim aim = Aim::kWeighted;
  search::Objective weights = {};  // kWeighted only

  // The metric of a trial that counts, and what of it is minimised (no latency in it yet).
  std::string_view metric() const { return aim == Aim::kWeighted ? "loss" : "accuracy"; }
  double Measured(double metric) const { return aim == Aim::kWeighted ? metric : 1 - metric; }
  // A trial's objective.
  double Of(double metric, double latency_us) const {
    return formula()(Measured(metric), latency_us);
  }

  // For proposers and pruners.
  search::Goal goal() const {
    return aim == Aim::kFront ? search::Goal::kFront : search::Goal::kLeast;
  }
  search::Objective formula() const {
    return aim == Aim::kWeighted ? weights : search::Objective{.alpha = 0};
  }
};

// "weighted, alpha 0.1, beta 1"
std::string ToText(const StudyObjective& objective);

}  // namespace lathe::study
