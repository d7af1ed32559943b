#include "train/lanes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "train/torch_guard.h"

namespace lathe::train {
namespace {

// Thrown where a lane would wait for one that has failed.
struct Stopped : std::exception {};

// Looks before a waiting lane sleeps, some 100 us: being woken takes about as long, and lanes that
// do the same are rarely further apart.
constexpr int kLooks = 5000;

void Pause() {
#ifdef __x86_64__
  _mm_pause();
#endif
}

}  // namespace

Lanes::Lanes(const Division& division)
    : count_(division.lanes),
      take_turns_(division.at_once < division.lanes),
      sums_(static_cast<size_t>(count_)),
      turns_(division.at_once) {
  SetTorchThreads(division.threads);
  for (int lane = 1; lane < count_; ++lane)
    threads_.emplace_back([this, lane, threads = division.threads] { Work(lane, threads); });
}

Lanes::~Lanes() {
  closing_ = true;
  Advance(begun_);
}

void Lanes::Run(const std::function<void(int lane)>& action) {
  if (count_ == 1) return action(0);
  action_ = &action;
  arrived_ = 0;
  running_ = count_;
  failed_ = false;
  error_ = nullptr;
  const uint32_t ended = ended_.load();
  Advance(begun_);
  RunLane(0);
  Wait(ended_, ended);
  if (error_) std::rethrow_exception(error_);
}

void Lanes::Work(int lane, int threads) {
  SetTorchThreads(threads);
  for (uint32_t begun = 0;; ++begun) {
    Wait(begun_, begun);
    if (closing_) return;
    RunLane(lane);
  }
}

void Lanes::RunLane(int lane) {
  TakeTurn();
  try {
    (*action_)(lane);
  } catch (const Stopped&) {
  } catch (...) {
    Fail(std::current_exception());
  }
  GiveTurn();
  if (running_.fetch_sub(1) == 1) Advance(ended_);
}

void Lanes::Fail(std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return;
    error_ = std::move(error);
    failed_ = true;
  }
  Advance(met_);
}

void Lanes::Advance(Counter& counter) {
  {
    const std::lock_guard lock(mutex_);
    ++counter;
  }
  advanced_.notify_all();
}

void Lanes::Wait(const Counter& counter, uint32_t old) {
  for (int look = 0; look < kLooks && !take_turns_; ++look) {
    if (counter.load() != old) return;
    Pause();
  }
  std::unique_lock lock(mutex_);
  advanced_.wait(lock, [&] { return counter.load() != old; });
}

void Lanes::TakeTurn() {
  if (!take_turns_) return;
  std::unique_lock lock(mutex_);
  turn_.wait(lock, [&] { return turns_ > 0; });
  --turns_;
}

void Lanes::GiveTurn() {
  if (!take_turns_) return;
  {
    const std::lock_guard lock(mutex_);
    ++turns_;
  }
  turn_.notify_one();
}

void Lanes::Meet(const std::function<void()>& last) {
  const uint32_t met = met_.load();
  if (failed_) throw Stopped{};
  if (arrived_.fetch_add(1) + 1 == count_) {
    arrived_ = 0;
    last();
    return Advance(met_);
  }
  GiveTurn();
  Wait(met_, met);
  TakeTurn();
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
