// The few statistics latency work needs: quantiles, rank correlation, and predicted against
// measured.
#pragma once

#include <span>
#include <vector>

#include "latency/lut.h"

namespace lathe::latency {

// Of a normal distribution: p90 - p10 in standard deviations, the standard deviation in mean
// absolute and in median absolute deviations.
inline constexpr double kNormalSpread = 2.563;
inline constexpr double kMeanAbsoluteToDeviation = 1.2533;
inline constexpr double kMedianAbsoluteToDeviation = 1.4826;

// Linear interpolation between order statistics, q in [0, 1]. `values` must not be empty.
double Quantile(std::vector<double> values, double q);
double Median(std::vector<double> values);
// The value with half of the weight on either side. Neither may be empty.
double WeightedMedian(std::span<const double> values, std::span<const double> weights);
// (p90 - p10) / median; 0 for fewer than two values.
double RelativeSpread(const std::vector<double>& values);

// Spearman's rank correlation, ties given their mean rank. 0 when either side is constant or has
// fewer than two values.
double Spearman(std::span<const double> a, std::span<const double> b);

// Errors are relative to what was measured, which must be positive.
ErrorBand Compare(std::span<const double> predicted, std::span<const double> measured);

}  // namespace lathe::latency
