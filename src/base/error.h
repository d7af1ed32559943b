// The one exception type of Lathe. Thrown when an operation cannot go on; expected outcomes (a
// failed trial, a table miss) are values instead. Exceptions of third-party libraries are wrapped
// at the wall of the module that uses them.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace lathe {

enum class ErrorKind {
  kUsage,             // bad command line: exit code 2
  kInput,             // bad file, key or value given by the user: exit code 2
  kIo,                // the operating system refused: full disk, permissions: exit code 2
  kTargetNotReached,  // the work is done but a latency or accuracy target is not met: exit code 3
  kUnavailable,       // an engine, device or program is not there: exit code 2
  kInterrupted,       // stopped on request, may be resumed: exit code 130
  kInternal,          // our own bug or an unexpected failure of a library: exit code 1
};

// `what()` is one message for a person: what was wrong, where (file, line or key), and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  template <typename... Args>
  Error(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args)
      : Error(kind, fmt::format(format, std::forward<Args>(args)...)) {}

  ErrorKind kind() const { return kind_; }
  int exit_code() const;

 private:
  ErrorKind kind_;
};

}  // namespace lathe
