// The one writer to stderr: log lines, permanent lines and the status line take turns, so that none
// tears another. Private to this module.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

// Of the terminal that a file descriptor is; 0 if it is none, or has not said.
int ColumnsOf(int descriptor);

// Thread-safe. A status line has a slot; with several open (a nested stage) the newest is shown.
class Terminal {
 public:
  using Slot = const void*;

  static Terminal& Get();  // never destroyed: threads may log while the process exits

  // Runs `write`, which may print whole lines to stderr, above the status line.
  void WriteAbove(const std::function<void()>& write);
  void PrintLine(std::string_view line);

  // Shows `text`, one line without its end, as the status of `slot`.
  void SetStatus(Slot slot, std::string text);
  void ClearStatus(Slot slot);

 private:
  struct Status {
    Slot slot;
    std::string text;
  };

  void Erase();
  void Draw();

  std::mutex mutex_;
  std::vector<Status> open_;  // by age
  bool drawn_ = false;
};

}  // namespace lathe
