// One study on its way to many tabs: its page, made once for all of them, and what is new, as an
// event of each change. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "report/server.h"

namespace lathe::report {

class Feed {
 public:
  explicit Feed(std::unique_ptr<LiveSource> source) : source_(std::move(source)) {}

  std::filesystem::path folder() const { return source_->folder(); }
  Glance Look();
  std::string Order(const std::string& json);
  // The page of now or, of a study that takes long to read, of a while ago.
  std::shared_ptr<const std::string> Page();

  // Looks at the study if anyone waits for it.
  void Poll();

  // What a listener has seen; `page` and `status` count changes.
  struct Seen {
    uint64_t page = 0, status = 0;
  };
  // Of one who has just got the page, and no status yet.
  Seen Join();
  // Server-sent events of what is newer than `seen`, which then is up to date; a comment if nothing
  // came in `patience`; empty once closed.
  std::string Next(Seen& seen, std::chrono::milliseconds patience);
  void Close();

 private:
  using Clock = std::chrono::steady_clock;
  void Update();
  bool MayBuild(const std::string& key) const;

  std::mutex source_mutex_;  // around every call of source_, and what follows
  std::unique_ptr<LiveSource> source_;
  std::shared_ptr<const std::string> page_;
  std::string page_key_, announced_key_;
  Clock::time_point built_;
  Clock::duration cost_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string status_;
  Seen latest_;
  int listeners_ = 0;
  bool closed_ = false;
};

}  // namespace lathe::report
