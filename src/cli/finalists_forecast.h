// How long finalists and baselines will take, judged by the trials of the search before them.
#pragma once

#include <map>
#include <optional>

#include "cli/search_job.h"
#include "study/store.h"

namespace lathe::cli {

// Seconds to measure a network before it is trained, and to verify and time it afterwards without
// calibrating it.
inline constexpr double kMeasureUntrained = 1, kJudge = 3;

// Seconds that so many trainings take in so many slots.
double InSlots(double trainings, double seconds, int slots);

// An upper bound: as if all baselines fitted the budget, and none trained faster than a candidate
// of the same latency, as most do. Knows nothing before a trial has ended, nor of programs that do
// not say how long they trained.
class FinalistsForecast {
 public:
  FinalistsForecast(const StudyContext& context, int slots);

  void Note(const study::TrialRecord& ended);
  std::optional<double> Seconds() const;

 private:
  struct Cost {
    double training = 0, beside = 0;  // seconds
  };

  int finalists_ = 0, baselines_ = 0, slots_ = 1;
  double times_ = 0;       // the work of a trial that a finalist is; 0: unknown
  bool overhead_ = false;  // whether a trial's time beside its training is not that of a queue
  std::multimap<double, Cost> costs_;  // by the trial's objective
};

}  // namespace lathe::cli
