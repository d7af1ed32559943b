// Logging and terminal output on stderr. Modules log through these; only the cli prints results,
// to stdout. Everything here is thread-safe.
#pragma once

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

enum class LogLevel { kQuiet, kNormal, kVerbose };

// Sends spdlog to stderr (colours only on a terminal, NO_COLOR respected). Call once from main.
void SetUpLogging(LogLevel level);

bool StderrIsTerminal();
int TerminalWidth();  // columns of stderr; 80 when unknown

// One status line at the bottom of the terminal, redrawn in place at most ten times a second:
//   trials  [########------------] 16/40  best 0.9132  3m10s left
// Log lines and PrintLine() appear above it. Of several, the newest is shown. On a pipe it prints a
// plain line at most every `plain_interval`, and the last state.
class Progress {
 public:
  struct Options {
    std::string stage = {};  // "measuring layers"
    int64_t total = 0;       // 0: unknown
    bool quiet = false;      // draw nothing
    std::chrono::seconds plain_interval{10};
  };
  explicit Progress(Options options);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `seconds_left` < 0: estimated from the rate so far.
  void Update(int64_t done, std::string_view note = {}, double seconds_left = -1);
  void SetTotal(int64_t total);
  void PrintLine(std::string_view line);  // a permanent line above the bar

 private:
  struct State;
  State* state_;
};

// "850 ms", "42 s", "3m10s", "2h05m".
std::string FormatSeconds(double seconds);
// "250,114"
std::string FormatCount(int64_t value);
// 12,345,678 -> "12.3 M"; 950 -> "950"
std::string FormatShort(double value);

}  // namespace lathe
