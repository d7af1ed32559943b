#include "train/lanes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "train/torch_guard.h"

namespace lathe::train {
namespace {

// Thrown where a lane would wait for one that has failed.
struct Stopped : std::exception {};

// Looks before a waiting lane sleeps, some 50 us: being woken takes about as long, and lanes that
// do the same are rarely further apart.
constexpr int kLooks = 5000;

void Pause() {
#ifdef __x86_64__
  _mm_pause();
#endif
}

}  // namespace

Lanes::Lanes(int count, int threads)
    : count_(count),
      turns_(threads < count ? std::make_unique<std::counting_semaphore<>>(threads) : nullptr),
      sums_(static_cast<size_t>(count)) {
  for (int lane = 1; lane < count; ++lane) threads_.emplace_back([this, lane] { Work(lane); });
}

Lanes::~Lanes() {
  closing_ = true;
  begun_.fetch_add(1);
  begun_.notify_all();
}

void Lanes::Run(const std::function<void(int lane)>& action) {
  if (count_ == 1) return action(0);
  action_ = &action;
  arrived_ = 0;
  running_ = count_;
  failed_ = false;
  error_ = nullptr;
  const uint32_t ended = ended_.load();
  begun_.fetch_add(1);
  begun_.notify_all();
  RunLane(0);
  Wait(ended_, ended);
  if (error_) std::rethrow_exception(error_);
}

void Lanes::Work(int lane) {
  SetTorchThreads(1);
  for (uint32_t begun = 0;; ++begun) {
    Wait(begun_, begun);
    if (closing_) return;
    RunLane(lane);
  }
}

void Lanes::RunLane(int lane) {
  if (turns_) turns_->acquire();
  try {
    (*action_)(lane);
  } catch (const Stopped&) {
  } catch (...) {
    Fail(std::current_exception());
  }
  if (turns_) turns_->release();
  if (running_.fetch_sub(1) > 1) return;
  ended_.fetch_add(1);
  ended_.notify_all();
}

void Lanes::Fail(std::exception_ptr error) {
  const std::lock_guard lock(error_mutex_);
  if (failed_) return;
  error_ = std::move(error);
  failed_ = true;
  met_.fetch_add(1);
  met_.notify_all();
}

void Lanes::Wait(const std::atomic<uint32_t>& counter, uint32_t old) const {
  for (int look = 0; look < kLooks && turns_ == nullptr; ++look) {
    if (counter.load() != old) return;
    Pause();
  }
  counter.wait(old);
}

void Lanes::Meet(const std::function<void()>& last) {
  const uint32_t met = met_.load();
  if (failed_) throw Stopped{};
  if (arrived_.fetch_add(1) + 1 == count_) {
    arrived_ = 0;
    last();
    met_.fetch_add(1);
    met_.notify_all();
    return;
  }
  if (turns_) turns_->release();
  Wait(met_, met);
  if (turns_) turns_->acquire();
  if (failed_) throw Stopped{};
}

void Lanes::Sum(int lane, std::span<double> values, ProcessGroup* group) {
  sums_[static_cast<size_t>(lane)] = values.data();
  Meet([&] {
    const auto size = std::ssize(values);
    AddInPairs<double>(sums_, 0, size);
    if (group != nullptr) group->Sum(at::from_blob(sums_[0], {size}, at::kDouble));
    for (size_t i = 1; i < sums_.size(); ++i) std::copy_n(sums_[0], size, sums_[i]);
  });
}

}  // namespace lathe::train
