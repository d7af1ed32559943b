#include "report/feed.h"

#include <fmt/format.h>

#include <algorithm>

namespace lathe::report {
namespace {

// A page is not made again before it has rested this many times as long as it took, nor within
// kRest: a study of a hundred thousand trials takes seconds to read.
constexpr int kRestFactor = 200;
constexpr std::chrono::seconds kRest{4};

}  // namespace

Glance Feed::Look() {
  const std::lock_guard lock(source_mutex_);
  return source_->Look();
}

std::string Feed::Order(const std::string& json) {
  const std::lock_guard lock(source_mutex_);
  return source_->Order(json);
}

bool Feed::MayBuild(const std::string& key) const {
  return key != page_key_ &&
         Clock::now() - built_ > std::max<Clock::duration>(kRest, kRestFactor * cost_);
}

std::shared_ptr<const std::string> Feed::Page() {
  const std::lock_guard lock(source_mutex_);
  std::string key = source_->PageKey();
  if (page_ == nullptr || MayBuild(key)) {
    const Clock::time_point start = Clock::now();
    page_ = std::make_shared<const std::string>(source_->Page());
    page_key_ = std::move(key);
    announced_key_ = page_key_;
    built_ = Clock::now();
    cost_ = built_ - start;
  }
  return page_;
}

void Feed::Poll() {
  {
    const std::lock_guard lock(mutex_);
    if (listeners_ == 0) return;
  }
  Update();
}

void Feed::Update() {
  const std::lock_guard source_lock(source_mutex_);
  std::string status = source_->Status();
  const std::string key = source_->PageKey();
  const bool page = key != announced_key_ && MayBuild(key);
  if (page) announced_key_ = key;
  const std::lock_guard lock(mutex_);
  if (page) ++latest_.page;
  if (status != status_) {
    status_ = std::move(status);
    ++latest_.status;
  }
  changed_.notify_all();
}

Feed::Seen Feed::Join() {
  Update();
  const std::lock_guard lock(mutex_);
  return {.page = latest_.page, .status = 0};
}

std::string Feed::Next(Seen& seen, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto is_new = [&] {
    return closed_ || latest_.page != seen.page || latest_.status != seen.status;
  };
  ++listeners_;
  changed_.wait_for(lock, patience, is_new);
  --listeners_;
  if (closed_) return "";
  std::string events;
  if (latest_.status != seen.status) events += fmt::format("event: status\ndata: {}\n\n", status_);
  if (latest_.page != seen.page) events += fmt::format("event: page\ndata: {}\n\n", latest_.page);
  seen = latest_;
  return events.empty() ? ": nothing new\n\n" : events;
}

void Feed::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace lathe::report
