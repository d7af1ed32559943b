// The time of a search: how long it and its slots have worked, over restarts, and when its trials
// will be done. Kept in the study's store; what came after the last Save() is lost by a kill.
#pragma once

#include <chrono>
#include <deque>
#include <optional>

#include "study/store.h"
#include "study/time_left.h"

namespace lathe::study {

class SearchClock {
 public:
  // Goes on from what the store says.
  explicit SearchClock(Store& store);

  double Seconds() const;                               // of searching
  double SlotSeconds() const { return slot_seconds_; }  // summed over running trials

  void Passed(int running);       // since the last call, so many trials were running
  void Ended(double duration_s);  // a trial took so long, from its only start to its end

  // What is still to be done, without durations. New trials start until `max_seconds` of searching
  // or `max_slot_seconds` are over; 0: no such limit.
  void Foresee(Workload work, double max_seconds, double max_slot_seconds);
  std::optional<double> SecondsLeft() const;  // until the last trial ends, once that can be said

  void Save();
  bool SaveIsDue() const;

 private:
  using Clock = std::chrono::steady_clock;

  Store& store_;
  double seconds_before_ = 0;  // of earlier runs
  double slot_seconds_ = 0;
  std::deque<double> durations_;  // of the last trials
  std::optional<Clock::time_point> foreseen_end_;
  const Clock::time_point started_ = Clock::now();
  Clock::time_point saved_ = started_, looked_ = started_;
};

// Of searching, over all runs so far.
double SearchSeconds(const Store& store);

// Unix seconds at which the trials of a study will have ended, as its controller saw it last.
// nullopt: it did not know.
std::optional<double> ForeseenEnd(const Store& store);

}  // namespace lathe::study
