// The threads that train one network together, each on its part of every batch: a lane runs all of
// a pass on its own images and meets the others where the batch counts as a whole. Unlike threads
// that share every operation, the number of lanes alone decides what is added up in which order:
// how many of them run at once, or belong to another process, changes no bit of a training. Private
// to this module.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <span>
#include <thread>
#include <vector>

#include "train/process_group.h"

namespace lathe::train {

class Lanes {
 public:
  // `count` lanes, of which `threads` run at a time. The first one is the caller's thread.
  Lanes(int count, int threads);
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
  void Work(int lane);
  void RunLane(int lane);
  void Fail(std::exception_ptr error);
  void Wait(const std::atomic<uint32_t>& counter, uint32_t old) const;

  const int count_;
  const std::unique_ptr<std::counting_semaphore<>> turns_;  // null: all may run at once
  const std::function<void(int)>* action_ = nullptr;
  std::vector<double*> sums_;  // of each lane, while they are added up
  std::atomic<int> arrived_{0}, running_{0};
  std::atomic<uint32_t> begun_{0}, ended_{0}, met_{0};  // runs and meetings, to wait for
  std::atomic<bool> failed_{false}, closing_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::vector<std::jthread> threads_;
};

// The first vector becomes the sum of all, over [begin, end): neighbours are added first, then
// pairs of them. So the sum over four lanes is that over two processes of the sums of their two
// lanes.
template <typename T>
void AddInPairs(std::span<T* const> vectors, int64_t begin, int64_t end) {
  for (size_t step = 1; step < vectors.size(); step *= 2) {
    for (size_t i = 0; i + step < vectors.size(); i += 2 * step) {
      for (int64_t k = begin; k < end; ++k) vectors[i][k] += vectors[i + step][k];
    }
  }
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
