#include "study/search_clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/clock.h"

namespace lathe::study {
namespace {

constexpr char kSearchSeconds[] = "search_seconds", kSlotSeconds[] = "slot_seconds",
               kForeseenEnd[] = "foreseen_end_s";
constexpr std::chrono::seconds kSaveEvery{5};
constexpr size_t kRemembered = 100;  // durations: trials change as the search goes on

double Number(const Store& store, const char* key) {
  return std::stod(store.Value(key).value_or("0"));
}

}  // namespace

SearchClock::SearchClock(Store& store)
    : store_(store),
      seconds_before_(Number(store, kSearchSeconds)),
      slot_seconds_(Number(store, kSlotSeconds)) {}

double SearchClock::Seconds() const { return seconds_before_ + SecondsSince(started_); }

void SearchClock::Passed(int running) {
  const Clock::time_point now = Clock::now();
  slot_seconds_ += running * std::chrono::duration<double>(now - looked_).count();
  looked_ = now;
}

void SearchClock::Ended(double duration_s) {
  durations_.push_back(duration_s);
  if (durations_.size() > kRemembered) durations_.pop_front();
}

bool SearchClock::SaveIsDue() const { return Clock::now() - saved_ >= kSaveEvery; }

void SearchClock::Foresee(Workload work, double max_seconds, double max_slot_seconds) {
  work.durations.assign(durations_.begin(), durations_.end());
  std::optional<double> left = study::SecondsLeft(work);
  // Trials that run when a limit is reached are finished.
  const std::optional<double> each =
      study::SecondsLeft({.durations = work.durations, .to_start = 1});
  const auto limit = [&](double seconds) {
    if (left && each) left = std::min(*left, std::max(0.0, seconds) + *each);
  };
  if (max_seconds > 0) limit(max_seconds - Seconds());
  if (max_slot_seconds > 0) limit((max_slot_seconds - slot_seconds_) / std::max(1, work.slots));
  foreseen_end_.reset();
  if (left) {
    foreseen_end_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(*left));
  }
}

std::optional<double> SearchClock::SecondsLeft() const {
  if (!foreseen_end_) return std::nullopt;
  return std::max(0.0, -SecondsSince(*foreseen_end_));
}

void SearchClock::Save() {
  store_.SetValue(kSearchSeconds, fmt::format("{:.3f}", Seconds()));
  store_.SetValue(kSlotSeconds, fmt::format("{:.3f}", slot_seconds_));
  store_.SetValue(kForeseenEnd,
                  SecondsLeft() ? fmt::format("{:.0f}", UnixSeconds() + *SecondsLeft()) : "0");
  saved_ = Clock::now();
}

double SearchSeconds(const Store& store) { return Number(store, kSearchSeconds); }

std::optional<double> ForeseenEnd(const Store& store) {
  const double end = Number(store, kForeseenEnd);
  return end > 0 ? std::optional(end) : std::nullopt;
}

}  // namespace lathe::study
