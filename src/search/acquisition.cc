#include "search/acquisition.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace lathe::search {
namespace {

const double kLogRootTwoPi = 0.5 * std::log(2.0 * std::numbers::pi);

double Density(double z) { return std::exp(-0.5 * z * z - kLogRootTwoPi); }
double Distribution(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

}  // namespace

double LogImprovement(double z) {
  if (z > -1) return std::log(Density(z) + z * Distribution(z));
  if (z > -25) {
    // Phi(z) / phi(z) = sqrt(pi / 2) erfcx(-z / sqrt(2)), both factors finite here.
    const double x = -z / std::numbers::sqrt2;
    const double mills = std::sqrt(std::numbers::pi / 2) * std::exp(x * x) * std::erfc(x);
    return -0.5 * z * z - kLogRootTwoPi + std::log1p(z * mills);
  }
  const double inverse = 1 / (z * z);  // asymptotic series
  return -0.5 * z * z - kLogRootTwoPi + std::log(inverse) +
         std::log1p(inverse * (-3 + inverse * (15 - inverse * 105)));
}

double LogExpectedImprovement(double mean, double deviation, double best) {
  if (deviation > 0) return std::log(deviation) + LogImprovement((best - mean) / deviation);
  return mean < best ? std::log(best - mean) : -std::numeric_limits<double>::infinity();
}

}  // namespace lathe::search
