#include "base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <barrier>
#include <sstream>
#include <thread>

namespace lathe {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Points stderr at a pseudo-terminal, or at a pipe, until Finish() returns what was written there.
class CapturedStderr {
 public:
  static CapturedStderr Terminal(int columns) {
    const int reader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_TRUE(reader >= 0 && grantpt(reader) == 0 && unlockpt(reader) == 0);
    const winsize size{.ws_row = 24, .ws_col = static_cast<unsigned short>(columns)};
    EXPECT_EQ(ioctl(reader, TIOCSWINSZ, &size), 0);
    return {reader, open(ptsname(reader), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  }
  static CapturedStderr Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    return {ends[0], ends[1]};
  }

  std::string Finish() {
    dup2(saved_, STDERR_FILENO);  // closes the last writer, which ends the reading thread
    close(saved_);
    thread_.join();
    close(reader_);
    return std::move(text_);
  }

 private:
  CapturedStderr(int reader, int writer) : reader_(reader), saved_(dup(STDERR_FILENO)) {
    dup2(writer, STDERR_FILENO);
    close(writer);
    thread_ = std::thread([this] {
      char buffer[4096];
      ssize_t got = 0;
      while ((got = read(reader_, buffer, sizeof buffer)) > 0) {
        text_.append(buffer, static_cast<size_t>(got));
      }
    });
  }

  int reader_;
  int saved_;
  std::string text_;
  std::thread thread_;
};

// What stays on a terminal: lines, without what was erased.
std::vector<std::string> VisibleLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();  // the terminal makes \r\n of \n
    constexpr std::string_view kErase = "\r\x1b[2K";
    const size_t erased = line.rfind(kErase);
    lines.push_back(erased == std::string::npos ? line : line.substr(erased + kErase.size()));
  }
  return lines;
}

TEST(ProgressTest, DrawsABarOnATerminalAndClearsIt) {
  auto captured = CapturedStderr::Terminal(80);
  EXPECT_TRUE(StderrIsTerminal());
  EXPECT_EQ(TerminalWidth(), 80);
  {
    Progress progress({.stage = "trials", .total = 4});
    progress.Update(1, "best 0.91", 190);
    progress.PrintLine("a result");
    progress.Update(4);
  }
  const std::string text = captured.Finish();
  EXPECT_THAT(text, HasSubstr("trials  [#####---------------] 1/4  best 0.91  3m10s left"));
  EXPECT_THAT(text, HasSubstr("[####################] 4/4"));
  EXPECT_EQ(VisibleLines(text), (std::vector<std::string>{"a result", ""}));
}

TEST(ProgressTest, RedrawsAtMostTenTimesASecond) {
  auto captured = CapturedStderr::Terminal(80);
  {
    Progress progress({.stage = "s", .total = INT64_MAX});
    const auto end = std::chrono::steady_clock::now() + 350ms;
    for (int64_t i = 0; std::chrono::steady_clock::now() < end; ++i) progress.Update(i);
  }
  const std::string text = captured.Finish();
  size_t draws = 0;
  for (size_t at = text.find("s  ["); at != std::string::npos; at = text.find("s  [", at + 1)) {
    ++draws;
  }
  EXPECT_GE(draws, 2u);
  EXPECT_LE(draws, 4u);
}

TEST(ProgressTest, ClipsToTheWidthOfTheTerminal) {
  auto captured = CapturedStderr::Terminal(30);
  {
    Progress progress({.stage = "trials", .total = 4});
    progress.Update(1, std::string(100, 'n'));
  }
  EXPECT_THAT(captured.Finish(), Not(HasSubstr("4  nn")));
}

TEST(ProgressTest, PrintsPlainLinesOnAPipe) {
  auto captured = CapturedStderr::Pipe();
  EXPECT_FALSE(StderrIsTerminal());
  {
    Progress progress({.stage = "measuring layers", .total = 4000, .plain_interval = 3600s});
    for (int i = 0; i < 1200; ++i) progress.Update(i, "x", 60);
  }
  EXPECT_EQ(captured.Finish(),
            "measuring layers  0/4,000  x  1m00s left\n"
            "measuring layers  1,199/4,000  x  1m00s left\n");
}

TEST(ProgressTest, PrintsTheEndOnce) {
  auto captured = CapturedStderr::Pipe();
  {
    Progress progress({.stage = "s", .plain_interval = 3600s});
    progress.SetTotal(2);
    progress.Update(0);
    progress.Update(2);
    progress.Update(2);
  }
  EXPECT_EQ(captured.Finish(), "s  0/2\ns  2/2\n");
}

TEST(ProgressTest, EstimatesFromTheRateSinceTheFirstUpdate) {
  auto captured = CapturedStderr::Pipe();
  {
    Progress progress({.stage = "s", .total = 1110, .plain_interval = 0s});
    progress.Update(1000);  // resumed
    std::this_thread::sleep_for(100ms);
    progress.Update(1010);
  }
  // 100 left at 100/s; had the first 1,000 counted, 10 ms would be left.
  EXPECT_THAT(captured.Finish(), testing::ContainsRegex("1,010/1,110  [0-9]+ s left"));
}

TEST(ProgressTest, QuietPrintsNothing) {
  auto captured = CapturedStderr::Pipe();
  {
    Progress progress({.stage = "s", .total = 2, .quiet = true});
    progress.Update(1);
    progress.PrintLine("line");
  }
  EXPECT_EQ(captured.Finish(), "");
}

class LogTest : public testing::Test {
 protected:
  void SetUp() override { logger_ = spdlog::default_logger(); }
  void TearDown() override {
    spdlog::set_default_logger(logger_);
    unsetenv("NO_COLOR");
  }
  std::shared_ptr<spdlog::logger> logger_;
};

std::string LogAt(LogLevel level, CapturedStderr captured) {
  SetUpLogging(level);
  spdlog::debug("a debug line");
  spdlog::info("an info line");
  spdlog::warn("a warning");
  return captured.Finish();
}

TEST_F(LogTest, LevelsFilter) {
  const std::string quiet = LogAt(LogLevel::kQuiet, CapturedStderr::Pipe());
  EXPECT_THAT(quiet, HasSubstr("warning: a warning\n"));
  EXPECT_THAT(quiet, Not(HasSubstr("info")));
  const std::string normal = LogAt(LogLevel::kNormal, CapturedStderr::Pipe());
  EXPECT_THAT(normal, HasSubstr("info: an info line\n"));
  EXPECT_THAT(normal, Not(HasSubstr("debug")));
  EXPECT_THAT(LogAt(LogLevel::kVerbose, CapturedStderr::Pipe()), HasSubstr("a debug line\n"));
}

TEST_F(LogTest, ColoursOnlyOnATerminalThatWantsThem) {
  EXPECT_THAT(LogAt(LogLevel::kNormal, CapturedStderr::Terminal(80)), HasSubstr("\x1b["));
  EXPECT_THAT(LogAt(LogLevel::kNormal, CapturedStderr::Pipe()), Not(HasSubstr("\x1b[")));
  setenv("NO_COLOR", "1", 1);
  EXPECT_THAT(LogAt(LogLevel::kNormal, CapturedStderr::Terminal(80)), Not(HasSubstr("\x1b[")));
}

TEST_F(LogTest, LogLinesAndTheBarDoNotTearEachOther) {
  setenv("NO_COLOR", "1", 1);
  auto captured = CapturedStderr::Terminal(80);
  SetUpLogging(LogLevel::kNormal);
  constexpr int kThreads = 4;
  constexpr int kLines = 500;
  {
    Progress progress({.stage = "trials", .total = kLines});
    std::barrier start(kThreads);  // or the first may be done before the last has begun
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        for (int i = 0; i < kLines; ++i) {
          progress.Update(i);
          spdlog::info("line of a thread");
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const std::vector<std::string> lines = VisibleLines(captured.Finish());
  ASSERT_EQ(lines.size(), size_t{kThreads * kLines + 1});
  EXPECT_EQ(lines.back(), "");
  for (int i = 0; i < kThreads * kLines; ++i) {
    ASSERT_EQ(lines[i].substr(std::string("hh:mm:ss").size()), " info: line of a thread");
  }
}

TEST_F(LogTest, TheNewestOfNestedBarsIsShown) {
  auto captured = CapturedStderr::Terminal(80);
  {
    Progress outer({.stage = "outer", .total = 2});
    outer.Update(1);
    {
      Progress inner({.stage = "inner", .total = 2});
      inner.Update(1);
    }
  }
  const std::string text = captured.Finish();
  const size_t inner = text.find("inner");
  ASSERT_NE(inner, std::string::npos);
  EXPECT_NE(text.find("outer", inner), std::string::npos);
}

}  // namespace
}  // namespace lathe
