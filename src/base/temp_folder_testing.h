// For tests of any module: a folder of their own, and a check of what an Error says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"

namespace lathe {

// A new folder under the system's temporary folder; removed with its content at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "lathe-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw Error(ErrorKind::kIo, "mkdtemp failed: {}", name);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// What the Error of `kind` says that `action` is expected to throw.
inline std::string MessageOf(ErrorKind kind, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

// Expects that `action` throws an Error of `kind` whose message has the part `message`.
inline void ExpectError(ErrorKind kind, const std::string& message,
                        const std::function<void()>& action) {
  EXPECT_THAT(MessageOf(kind, action), testing::HasSubstr(message));
}

}  // namespace lathe
