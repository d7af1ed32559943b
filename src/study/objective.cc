#include "study/objective.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace lathe::study {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> kAims = {"weighted", "accuracy", "front"};

}  // namespace

std::string_view Name(Aim aim) { return kAims[static_cast<size_t>(aim)]; }

std::vector<std::string_view> AimNames() { return {kAims.begin(), kAims.end()}; }

Aim ParseAim(std::string_view name) {
  const auto* const found = std::ranges::find(kAims, name);
  if (found == kAims.end()) throw Error(ErrorKind::kInternal, "unknown goal '{}'", name);
  return static_cast<Aim>(found - kAims.begin());
}

std::string ToText(const StudyObjective& objective) {
  if (objective.aim != Aim::kWeighted) return std::string(Name(objective.aim));
  return fmt::format("{}, alpha {}, beta {}", Name(objective.aim), objective.weights.alpha,
                     objective.weights.beta);
}

}  // namespace lathe::study
