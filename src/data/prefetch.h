// Makes numbered batches on worker threads, a few ahead of the one consumer, and hands them over in
// order. All threads work on parts of the same batch, so that the first is there soon. Private to
// this module.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "data/loader.h"

namespace lathe::data {

class Prefetcher {
 public:
  struct Work {
    // Sizes the batch for its parts and returns how many there are. One call for each batch.
    std::function<int(int64_t number, Batch& batch)> begin;
    // Fills a part. Called from several threads at once; `thread` counts from 0.
    std::function<void(int64_t number, int part, int thread, Batch& batch)> fill;
  };

  Prefetcher(int threads, Work work);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Drops what is under way, then makes [first, end). While no range is set nothing calls `work`.
  void SetRange(int64_t first, int64_t end);
  void Cancel() { SetRange(0, 0); }
  // Blocks for the next batch and swaps it in (so that buffers go round). Rethrows what was thrown
  // for its first part that failed.
  void Take(Batch& batch);

 private:
  struct Slot {
    int parts = 0, started = 0, finished = 0;  // parts 0: not begun
    bool ready = false;
    Batch batch;
    std::exception_ptr error;
    int failed_part = 0;
  };
  Slot& SlotOf(int64_t number) { return slots_[static_cast<size_t>(number) % slots_.size()]; }
  void Run(int thread);
  void FillPart(int64_t number, int thread, std::unique_lock<std::mutex>& lock);

  const Work work_;
  std::mutex mutex_;
  std::condition_variable more_, done_;
  std::vector<Slot> slots_;
  int64_t next_ = 0;   // the batch whose parts are given out
  int64_t taken_ = 0;  // by the consumer
  int64_t end_ = 0;
  int busy_ = 0;
  bool quit_ = false;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace lathe::data
