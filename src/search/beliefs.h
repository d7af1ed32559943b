// What the trials of a history say about the objective: complete ones their result, pruned and
// running ones what their learning curves promise.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "search/history.h"

namespace lathe::search {

// The objective at the end as a line in the objective at one step (ordinary least squares).
class Forecast {
 public:
  struct Pair {
    double at_step, in_the_end;
  };
  static constexpr size_t kFewest = 5;  // pairs that a line is drawn through

  explicit Forecast(std::span<const Pair> pairs);  // at least kFewest

  struct Promise {
    double value, variance;  // variance of the value in the end: scatter and doubt about the line
  };
  Promise Of(double at_step) const;

 private:
  double mean_step_ = 0, mean_end_ = 0, slope_ = 0, scatter_ = 0, spread_ = 0, count_;
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
