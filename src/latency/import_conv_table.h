// What any convolution would take alone, by a table of some that were timed. A sum of costs of
// launching, multiplying, and moving weights and images is fitted to the table; how far the table
// is off it is smoothed by local regression (Cleveland 1979): a plane in the logarithms of widths
// and image through the nearest shapes, fitted so that single outliers do not count. Convolutions
// of different type, kernel, stride or fused addition are kept apart. Immutable; thread-safe.
#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "latency/import_conv_file.h"

namespace lathe::latency {

// Relative errors of what was held back.
struct InterpolationError {
  double median = 0, p95 = 0;  // of |error|
  double bias = 0;             // median signed error
  int count = 0;
};

class ConvTable {
 public:
  // Throws kInput if there are no timings.
  explicit ConvTable(std::span<const ConvTiming> timings);

  // Microseconds alone; nothing if no convolution of this type, kernel, stride and addition, or too
  // few, was timed. Groups must be 1 or all channels; the activation is not looked at. Images
  // smaller than the smallest timed take as long as that.
  std::optional<double> Predict(const Part& part) const;
  double shortest_us() const { return shortest_us_; }
  // Values read and written per microsecond by the convolutions that are best at it.
  double values_per_us() const { return values_per_us_; }

  // Predicts a random `share` of the timings by the others.
  static InterpolationError HoldOut(std::span<const ConvTiming> timings, double share,
                                    uint64_t seed);

 private:
  using Group = std::tuple<bool, int, int, bool>;  // depthwise, kernel, stride, add
  struct Points {
    Eigen::Vector4d costs;   // of the terms of work
    int smallest_image = 0;  // side in pixels
    Eigen::MatrixXd x;       // a column per convolution
    Eigen::VectorXd y;       // log of microseconds over what the costs say
  };
  static Group GroupOf(const Part& part);
  static Eigen::VectorXd Coordinates(const Part& part);

  std::map<Group, Points> groups_;
  double shortest_us_ = 0, values_per_us_ = 0;
};

}  // namespace lathe::latency
