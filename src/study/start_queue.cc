#include "study/start_queue.h"

#include <algorithm>
#include <utility>

namespace lathe::study {
namespace {

constexpr std::chrono::minutes kLongestDelay{5};

}  // namespace

void StartQueue::Add(int64_t trial) { places_.push_back({trial, Clock::time_point{}}); }

void StartQueue::AddDelayed(int64_t trial) {
  int& delays = delays_[trial];
  const auto delay =
      std::min<Clock::duration>(first_delay_ * (int64_t{1} << std::min(delays, 20)), kLongestDelay);
  ++delays;
  places_.push_back({trial, Clock::now() + delay});
}

void StartQueue::ForgetDelays(int64_t trial) { delays_.erase(trial); }

void StartQueue::Remove(int64_t trial) {
  std::erase_if(places_, [&](const Place& place) { return place.trial == trial; });
  ForgetDelays(trial);
}

std::vector<int64_t> StartQueue::TakeDue(size_t most) {
  const Clock::time_point now = Clock::now();
  std::vector<int64_t> due;
  for (auto place = places_.begin(); place != places_.end() && due.size() < most;) {
    if (place->not_before <= now) {
      due.push_back(place->trial);
      place = places_.erase(place);
    } else {
      ++place;
    }
  }
  return due;
}

std::vector<int64_t> StartQueue::TakeAll() {
  std::vector<int64_t> all;
  for (const Place& place : std::exchange(places_, {})) all.push_back(place.trial);
  return all;
}

int StartQueue::CountDue() const {
  const Clock::time_point now = Clock::now();
  return static_cast<int>(
      std::ranges::count_if(places_, [&](const Place& place) { return place.not_before <= now; }));
}

}  // namespace lathe::study
