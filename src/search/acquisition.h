// Log expected improvement of the least value and of the hypervolume, for minimisation.
#pragma once

#include <span>
#include <vector>

namespace lathe::search {

// log(phi(z) + z Phi(z)) without underflow or cancellation for any finite z (after Ament et al.
// 2023, "Unexpected Improvements to Expected Improvement"): comparable even where the improvement
// itself is below the smallest double.
double LogImprovement(double z);

// log E[max(best - f, 0)] for f ~ N(mean, deviation^2). A deviation of zero gives -infinity unless
// mean < best.
double LogExpectedImprovement(double mean, double deviation, double best);

// log sum exp, without overflow; -infinity of nothing.
double LogSumExp(std::span<const double> logs);

// The lower left corner of what is dominated: the least value at any cost, as a staircase.
class Staircase {
 public:
  struct Point {
    double cost, value;
  };
  // Improvements count up to `worst` (cost and value).
  Staircase(const std::vector<Point>& points, Point worst);
  void Add(const Point& point);

  // Hypervolume dominated by the points, up to the worst.
  double Hypervolume() const;
  // log of the expected hypervolume that a point adds whose cost is known and whose value is
  // N(mean, deviation^2): the integral over all costs above its own of the expected improvement on
  // the stair there. -infinity beyond the worst cost.
  double LogExpectedImprovement(double cost, double mean, double deviation) const;

 private:
  std::vector<Point> stairs_;  // by ascending cost, descending value; the first at -infinity
  double worst_cost_;
};

}  // namespace lathe::search
