// What the trials of a history say about the objective: complete ones their result, pruned and
// running ones what their learning curves promise.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <span>
#include <vector>

#include "search/history.h"

namespace lathe::search {

// The objective at the end as a plane in the objective at one step and the logarithm of the
// latency, since curves of large networks may fall later: least squares, with the ridge on the
// latter whose leave-one-out errors are least.
class Forecast {
 public:
  struct Pair {
    double at_step, in_the_end;
    double latency_us = 0;  // 0: unknown
  };
  static constexpr size_t kFewest = 5;  // pairs that a plane is laid through

  explicit Forecast(std::span<const Pair> pairs);  // at least kFewest

  struct Promise {
    double value, variance;  // variance of the value in the end: scatter and doubt about the plane
  };
  Promise Of(double at_step, double latency_us = 0) const;

 private:
  double BestRidge(std::span<const Pair> pairs, const Eigen::Matrix2d& squares,
                   const Eigen::Vector2d& products) const;
  // Offsets from the means: of the objective, and of the log latency in standard deviations.
  Eigen::Vector2d Offset(double at_step, double latency_us) const;

  double count_, mean_step_ = 0, mean_end_ = 0, mean_size_ = 0, size_deviation_ = 0;
  Eigen::Vector2d slopes_ = Eigen::Vector2d::Zero();
  Eigen::Matrix2d doubt_ = Eigen::Matrix2d::Zero();  // of the slopes, in units of the scatter
  double scatter_ = 0;
};

struct Beliefs {
  std::vector<const Candidate*> candidates;
  std::vector<double> values;     // objectives, finite
  std::vector<double> variances;  // beyond the model's own noise; 0 for a result
  // So many at the front are results of complete trials, in the order told. 0 as long as there are
  // too few of them for a forecast while trials report: then the values are those at the last step
  // that enough trials have reached.
  size_t complete = 0;
  std::vector<const Candidate*> pending;  // running trials, by number

  size_t size() const { return values.size(); }
  void Add(const Candidate& candidate, double value, double variance);
};

// As they were at an earlier moment, or History::now().
Beliefs BeliefsOf(const History& history, Moment as_of);

}  // namespace lathe::search
