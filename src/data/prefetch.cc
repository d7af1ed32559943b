#include "data/prefetch.h"

#include <utility>

namespace lathe::data {

Prefetcher::Prefetcher(int threads, Make make)
    : make_(std::move(make)), slots_(static_cast<size_t>(threads) + 2) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Prefetcher::~Prefetcher() {
  const std::scoped_lock lock(mutex_);
  quit_ = true;
  work_.notify_all();
}

void Prefetcher::SetRange(int64_t first, int64_t end) {
  std::unique_lock lock(mutex_);
  next_ = end_ = 0;
  done_.wait(lock, [&] { return busy_ == 0; });
  for (Slot& slot : slots_) {
    slot.ready = false;
    slot.error = nullptr;
  }
  next_ = taken_ = first;
  end_ = end;
  work_.notify_all();
}

void Prefetcher::Take(Batch& batch) {
  std::unique_lock lock(mutex_);
  Slot& slot = SlotOf(taken_);
  done_.wait(lock, [&] { return slot.ready; });
  slot.ready = false;
  ++taken_;
  work_.notify_one();
  if (slot.error) std::rethrow_exception(std::exchange(slot.error, nullptr));
  std::swap(batch, slot.batch);
}

void Prefetcher::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] {
      return quit_ || (next_ < end_ && next_ < taken_ + static_cast<int64_t>(slots_.size()));
    });
    if (quit_) return;
    const int64_t number = next_++;
    Slot& slot = SlotOf(number);
    ++busy_;
    lock.unlock();
    std::exception_ptr error;
    try {
      make_(number, slot.batch);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.ready = true;
    --busy_;
    done_.notify_all();
  }
}

}  // namespace lathe::data
