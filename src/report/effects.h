// Which genes move a result: how much of its variance a gene explains alone.
#pragma once

#include <optional>
#include <span>

namespace lathe::report {

inline constexpr size_t kFewestForEffects = 10;  // trials before a share says anything

// Epsilon squared of a one-way analysis of variance (Kelley 1935): the share of the variance of
// `values` that lies between the groups of equal `choices`, less what chance would put there; 0 to
// 1. Values that are no numbers do not count. nullopt: fewer than kFewestForEffects, no choice was
// made twice, or all values are equal.
std::optional<double> ExplainedShare(std::span<const int> choices, std::span<const double> values);

}  // namespace lathe::report
