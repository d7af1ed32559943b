#include "base/terminal.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace lathe {
namespace {

void Put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

int ColumnsOf(int descriptor) {
  winsize size{};
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

Terminal& Terminal::Get() {
  static Terminal* const terminal = new Terminal();
  return *terminal;
}

void Terminal::WriteAbove(const std::function<void()>& write) {
  const std::lock_guard lock(mutex_);
  Erase();
  write();
  Draw();
  std::fflush(stderr);
}

void Terminal::PrintLine(std::string_view line) {
  WriteAbove([line] { Put(std::string(line) + "\n"); });
}

void Terminal::SetStatus(Slot slot, std::string text) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(open_.begin(), open_.end(), [&](const Status& s) { return s.slot == slot; });
  if (found == open_.end()) {
    open_.push_back({slot, std::move(text)});
  } else {
    found->text = std::move(text);
  }
  Erase();
  Draw();
  std::fflush(stderr);
}

void Terminal::ClearStatus(Slot slot) {
  const std::lock_guard lock(mutex_);
  Erase();
  std::erase_if(open_, [&](const Status& s) { return s.slot == slot; });
  Draw();
  std::fflush(stderr);
}

void Terminal::Erase() {
  if (std::exchange(drawn_, false)) Put("\r\x1b[2K");
}

void Terminal::Draw() {
  if (open_.empty()) return;
  Put(open_.back().text);
  drawn_ = true;
}

}  // namespace lathe
