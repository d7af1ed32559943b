#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/terminal.h"
#include "base/utf8.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRedrawInterval = std::chrono::milliseconds(100);

double SecondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string Bar(double fraction) {
  constexpr int kWidth = 20;
  const int full = std::clamp(static_cast<int>(fraction * kWidth), 0, kWidth);
  return "[" + std::string(full, '#') + std::string(kWidth - full, '-') + "]";
}

}  // namespace

struct Progress::State {
  Options options;
  bool terminal = false;
  std::mutex mutex;
  int64_t done = 0;
  std::string note;
  double seconds_left = -1;
  // The first Update: what was done before it (a resumed run) says nothing about the rate.
  std::optional<std::pair<int64_t, Clock::time_point>> start;
  std::optional<Clock::time_point> shown;  // when a line was last drawn or printed
  bool current = true;                     // what is shown is the latest state

  double SecondsLeft(Clock::time_point now) const {
    if (seconds_left >= 0) return seconds_left;
    if (options.total <= 0 || Complete() || !start || done <= start->first) return -1;
    const double each =
        SecondsBetween(start->second, now) / static_cast<double>(done - start->first);
    return each * static_cast<double>(options.total - done);
  }

  std::string Line(Clock::time_point now) const {
    std::string line = options.stage + "  ";
    if (options.total > 0) {
      if (terminal) {
        line += Bar(static_cast<double>(done) / static_cast<double>(options.total)) + " ";
      }
      line += fmt::format("{}/{}", FormatCount(done), FormatCount(options.total));
    } else {
      line += FormatCount(done);
    }
    if (!note.empty()) line += "  " + note;
    const double left = SecondsLeft(now);
    if (left >= 0) line += "  " + FormatSeconds(left) + " left";
    return line;
  }

  void Show(Clock::time_point now) {
    shown = now;
    current = true;
    if (terminal) {
      // The last column stays free: some terminals wrap once it is filled.
      const int columns = std::max(TerminalWidth() - 1, 1);
      std::string line = Line(now);
      line.resize(BytesOf(line, static_cast<size_t>(columns)));
      Terminal::Get().SetStatus(this, std::move(line));
    } else {
      Terminal::Get().PrintLine(Line(now));
    }
  }

  bool Complete() const { return options.total > 0 && done >= options.total; }

  // Shows what changed, unless something was shown only just now. `completed`: do not wait.
  void Changed(bool completed) {
    if (options.quiet) return;
    current = false;
    const Clock::time_point now = Clock::now();
    const Clock::duration interval =
        terminal ? Clock::duration(kRedrawInterval) : Clock::duration(options.plain_interval);
    if (completed || !shown || now - *shown >= interval) Show(now);
  }
};

Progress::Progress(Options options) : state_(new State{}) {
  state_->options = std::move(options);
  state_->terminal = StderrIsTerminal();
}

Progress::~Progress() {
  if (!state_->options.quiet) {
    if (state_->terminal) {
      Terminal::Get().ClearStatus(state_);
    } else if (!state_->current) {
      state_->Show(Clock::now());
    }
  }
  delete state_;
}

void Progress::Update(int64_t done, std::string_view note, double seconds_left) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->start) state_->start.emplace(done, Clock::now());
  const bool same =
      state_->shown && state_->current && state_->done == done && state_->note == note;
  const bool was_complete = state_->Complete();
  state_->done = done;
  state_->note = note;
  state_->seconds_left = seconds_left;
  if (!same || state_->terminal) state_->Changed(!was_complete && state_->Complete());
}

void Progress::SetTotal(int64_t total) {
  const std::lock_guard lock(state_->mutex);
  state_->options.total = total;
}

void Progress::PrintLine(std::string_view line) {
  if (!state_->options.quiet) Terminal::Get().PrintLine(line);
}

}  // namespace lathe
