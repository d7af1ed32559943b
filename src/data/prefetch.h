// Makes numbered batches on worker threads, a few ahead of the one consumer, and hands them over in
// order. Private to this module.
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
  using Make =
      std::function<void(int64_t number, Batch& batch)>;  // called from several threads at once

  Prefetcher(int threads, Make make);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Drops what is under way, then makes [first, end). While no range is set nothing calls `make`.
  void SetRange(int64_t first, int64_t end);
  void Cancel() { SetRange(0, 0); }
  // Blocks for the next batch and swaps it in (so that buffers go round). Rethrows what `make`
  // threw for it.
  void Take(Batch& batch);

 private:
  struct Slot {
    bool ready = false;
    Batch batch;
    std::exception_ptr error;
  };
  Slot& SlotOf(int64_t number) { return slots_[static_cast<size_t>(number) % slots_.size()]; }
  void Work();

  const Make make_;
  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::vector<Slot> slots_;
  int64_t next_ = 0;   // to be made
  int64_t taken_ = 0;  // by the consumer
  int64_t end_ = 0;
  int busy_ = 0;
  bool quit_ = false;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace lathe::data
