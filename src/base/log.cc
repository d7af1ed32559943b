#include "base/log.h"

#include <spdlog/sinks/ansicolor_sink.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "base/terminal.h"

namespace lathe {
namespace {

// spdlog's coloured stderr, above the status line.
class TerminalSink : public spdlog::sinks::sink {
 public:
  explicit TerminalSink(spdlog::color_mode mode) : inner_(mode) {}
  void log(const spdlog::details::log_msg& message) override {
    Terminal::Get().WriteAbove([&] { inner_.log(message); });
  }
  void flush() override { inner_.flush(); }
  void set_pattern(const std::string& pattern) override { inner_.set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    inner_.set_formatter(std::move(formatter));
  }

 private:
  spdlog::sinks::ansicolor_stderr_sink_mt inner_;
};

bool WantsColour() {
  const char* no_color = std::getenv("NO_COLOR");  // https://no-color.org
  return StderrIsTerminal() && (no_color == nullptr || *no_color == '\0');
}

}  // namespace

void SetUpLogging(LogLevel level) {
  const auto mode = WantsColour() ? spdlog::color_mode::always : spdlog::color_mode::never;
  auto logger = std::make_shared<spdlog::logger>("lathe", std::make_shared<TerminalSink>(mode));
  logger->set_pattern("%H:%M:%S %^%l%$: %v");
  switch (level) {
    case LogLevel::kQuiet:
      logger->set_level(spdlog::level::warn);
      break;
    case LogLevel::kNormal:
      logger->set_level(spdlog::level::info);
      break;
    case LogLevel::kVerbose:
      logger->set_level(spdlog::level::debug);
      break;
  }
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

bool StderrIsTerminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

int TerminalWidth() {
  constexpr int kUnknown = 80;
  const int columns = ColumnsOf(STDERR_FILENO);
  return columns > 0 ? columns : kUnknown;
}

}  // namespace lathe
