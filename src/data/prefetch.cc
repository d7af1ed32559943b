#include "data/prefetch.h"

#include <utility>

namespace lathe::data {

// One batch is with the consumer; two more keep the threads at work while it takes one.
constexpr size_t kAhead = 3;

Prefetcher::Prefetcher(int threads, Work work) : work_(std::move(work)), slots_(kAhead) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this, i] { Run(i); });
}

Prefetcher::~Prefetcher() {
  const std::scoped_lock lock(mutex_);
  quit_ = true;
  more_.notify_all();
}

void Prefetcher::SetRange(int64_t first, int64_t end) {
  std::unique_lock lock(mutex_);
  next_ = end_ = 0;
  done_.wait(lock, [&] { return busy_ == 0; });
  for (Slot& slot : slots_) {
    slot.parts = slot.started = slot.finished = 0;
    slot.ready = false;
    slot.error = nullptr;
  }
  next_ = taken_ = first;
  end_ = end;
  more_.notify_all();
}

void Prefetcher::Take(Batch& batch) {
  std::unique_lock lock(mutex_);
  Slot& slot = SlotOf(taken_);
  done_.wait(lock, [&] { return slot.ready; });
  slot.parts = slot.started = slot.finished = 0;
  slot.ready = false;
  ++taken_;
  more_.notify_all();
  if (slot.error) std::rethrow_exception(std::exchange(slot.error, nullptr));
  std::swap(batch, slot.batch);
}

void Prefetcher::Run(int thread) {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [&] {
      return quit_ || (next_ < end_ && next_ < taken_ + static_cast<int64_t>(slots_.size()));
    });
    if (quit_) return;
    FillPart(next_, thread, lock);
  }
}

void Prefetcher::FillPart(int64_t number, int thread, std::unique_lock<std::mutex>& lock) {
  Slot& slot = SlotOf(number);
  if (slot.parts == 0) {
    try {  // under the lock: it allocates at most, and only the first time round
      slot.parts = work_.begin(number, slot.batch);
    } catch (...) {
      slot.error = std::current_exception();
      slot.ready = true;
      ++next_;
      done_.notify_all();
      return;
    }
  }
  const int part = slot.started++;
  if (slot.started == slot.parts) ++next_;
  ++busy_;
  lock.unlock();
  std::exception_ptr error;
  try {
    work_.fill(number, part, thread, slot.batch);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error && (!slot.error || part < slot.failed_part)) {
    slot.error = error;
    slot.failed_part = part;
  }
  --busy_;
  slot.ready = ++slot.finished == slot.parts;
  if (slot.ready || busy_ == 0) done_.notify_all();
}

}  // namespace lathe::data
