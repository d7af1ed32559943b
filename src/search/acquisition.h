// Log expected improvement, for minimisation.
#pragma once

namespace lathe::search {

// log(phi(z) + z Phi(z)) without underflow or cancellation for any finite z (after Ament et al.
// 2023, "Unexpected Improvements to Expected Improvement"): comparable even where the improvement
// itself is below the smallest double.
double LogImprovement(double z);

// log E[max(best - f, 0)] for f ~ N(mean, deviation^2). A deviation of zero gives -infinity unless
// mean < best.
double LogExpectedImprovement(double mean, double deviation, double best);

}  // namespace lathe::search
