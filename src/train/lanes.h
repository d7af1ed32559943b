// The threads that train one network together, each on its part of every batch: a lane runs all of
// a pass on its own images and meets the others where the batch counts as a whole. Unlike threads
// that share every operation, the number of lanes alone decides what is added up in which order:
// how many of them run at once, or belong to another process, changes no bit of a training. Private
// to this module.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "train/process_group.h"

namespace lathe::train {

struct Division {
  int lanes = 1;
  int at_once = 1;  // lanes that run at a time; the others wait for their turn
  int threads = 1;  // of torch's, in each lane
};

class Lanes {
 public:
  // The first lane is the caller's thread.
  explicit Lanes(const Division& division);
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;
  int count() const { return count_; }

  // Calls action(lane) in every lane and returns when all are done. What the first to fail throws
  // is thrown here; the others stop where they next meet.
  void Run(const std::function<void(int lane)>& action);

  // Within Run, by every lane: waits until all are here. The last to come calls `last` before all
  // go on.
  void Meet(const std::function<void()>& last = [] {});

  // Within Run, by every lane, with as many values: they become the sums over all lanes and, unless
  // null, over all processes of `group`.
  void Sum(int lane, std::span<double> values, ProcessGroup* group);

 private:
  using Counter = std::atomic<uint32_t>;
  void Work(int lane, int threads);
  void RunLane(int lane);
  void Fail(std::exception_ptr error);
  void Advance(Counter& counter);
  void Wait(const Counter& counter, uint32_t old);
  void TakeTurn();
  void GiveTurn();

  const int count_;
  const bool take_turns_;
  const std::function<void(int)>* action_ = nullptr;
  std::vector<double*> sums_;  // of each lane, while they are added up
  std::atomic<int> arrived_{0}, running_{0};
  std::atomic<bool> failed_{false}, closing_{false};
  std::mutex mutex_;                      // guards what follows; counters are also read without it
  Counter begun_{0}, ended_{0}, met_{0};  // runs and meetings, to wait for
  int turns_;                             // free ones
  std::exception_ptr error_;
  std::condition_variable advanced_, turn_;
  std::vector<std::jthread> threads_;
};

// The first vector becomes the sum of all, in pairs, over [begin, end).
template <typename T>
void AddInPairs(std::span<T* const> vectors, int64_t begin, int64_t end) {
  InPairs(static_cast<int>(vectors.size()), [&](int into, int from) {
    T* sum = vectors[static_cast<size_t>(into)];
    const T* other = vectors[static_cast<size_t>(from)];
    for (int64_t k = begin; k < end; ++k) sum[k] += other[k];
  });
}

// A lane's part of `count` things.
struct LanePart {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};
inline LanePart PartOf(int64_t count, int lane, int lanes) {
  return {count * lane / lanes, count * (lane + 1) / lanes};
}

}  // namespace lathe::train
