// The trials that are to be started, in the order of their turns; one that died waits a while. Not
// thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

namespace lathe::study {

class StartQueue {
 public:
  using Clock = std::chrono::steady_clock;

  explicit StartQueue(Clock::duration first_delay) : first_delay_(first_delay) {}

  void Add(int64_t trial);  // may start at once
  // May start after a delay: the first one, then twice as long each time, five minutes at most.
  void AddDelayed(int64_t trial);
  void ForgetDelays(int64_t trial);  // its next delay is the first again
  void Remove(int64_t trial);        // wherever it is; its delays are forgotten

  // Up to `most` that may start now, taken out.
  std::vector<int64_t> TakeDue(size_t most);
  std::vector<int64_t> TakeAll();
  int CountDue() const;  // that may start now
  int size() const { return static_cast<int>(places_.size()); }

 private:
  struct Place {
    int64_t trial;
    Clock::time_point not_before;
  };

  const Clock::duration first_delay_;
  std::deque<Place> places_;
  std::map<int64_t, int> delays_;  // that a trial has had, in a row
};

}  // namespace lathe::study
