#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <thread>

#include "base/process.h"
#include "base/temp_folder_testing.h"

namespace lathe {
namespace {

using testing::UnorderedElementsAre;

std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Stands in for a full disk: no file of this process can grow past `bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    signal(SIGXFSZ, handler_);
    setrlimit(RLIMIT_FSIZE, &before_);
  }

 private:
  rlimit before_{};
  sighandler_t handler_ = nullptr;
};

TEST(FileTest, WritesAndReadsBackAnyBytes) {
  TempFolder folder;
  std::string content = "line\n";
  for (int i = 0; i < 200'000; ++i) content += static_cast<char>(i * 31);
  WriteFileAtomically(folder / "new/folder/file", content);
  EXPECT_EQ(ReadFile(folder / "new/folder/file"), content);
  WriteFileAtomically(folder / "new/folder/file", "");
  EXPECT_EQ(ReadFile(folder / "new/folder/file"), "");
  EXPECT_THAT(NamesIn(folder / "new/folder"), UnorderedElementsAre("file"));
}

TEST(FileTest, ReadsFilesWithoutASize) {
  EXPECT_THAT(ReadFile("/proc/self/status"), testing::HasSubstr("Pid:"));
}

TEST(FileTest, ReadErrorsNamePathAndReason) {
  TempFolder folder;
  const std::string missing = (folder / "missing").string();
  ExpectError(ErrorKind::kInput, "cannot read " + missing + ": No such file or directory",
              [&] { ReadFile(missing); });
  ExpectError(ErrorKind::kInput, "Is a directory", [&] { ReadFile(folder.path()); });
}

TEST(FileTest, FailedWriteKeepsTheOldFileAndLeavesNothingBehind) {
  TempFolder folder;
  WriteFileAtomically(folder / "file", "old");
  const std::string big(100'000, 'x');
  {
    const FileSizeLimit limit(4096);
    ExpectError(ErrorKind::kIo, "File too large",
                [&] { WriteFileAtomically(folder / "file", big); });
  }
  EXPECT_EQ(ReadFile(folder / "file"), "old");
  EXPECT_THAT(NamesIn(folder.path()), UnorderedElementsAre("file"));
}

TEST(FileTest, FailedAppendLeavesNoHalfLine) {
  TempFolder folder;
  AppendLine(folder / "file", "first");
  {
    const FileSizeLimit limit(16);
    ExpectError(ErrorKind::kIo, "File too large",
                [&] { AppendLine(folder / "file", "a line that does not fit"); });
  }
  AppendLine(folder / "file", "second");
  EXPECT_EQ(ReadFile(folder / "file"), "first\nsecond\n");
}

TEST(FileTest, DevicesAreWrittenToAndNotReplaced) {
  ExpectError(ErrorKind::kIo, "cannot write /dev/full: No space left on device",
              [] { WriteFileAtomically("/dev/full", "x"); });
  ExpectError(ErrorKind::kIo, "No space left on device", [] { AppendLine("/dev/full", "x"); });
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(FileTest, WritesThroughLinks) {
  TempFolder folder;
  WriteFileAtomically(folder / "target", "old");
  fs::create_symlink("target", folder / "link");
  WriteFileAtomically(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(ReadFile(folder / "target"), "new");
}

TEST(FileTest, WriteErrorsNamePathAndReason) {
  TempFolder folder;
  WriteFileAtomically(folder / "file", "");
  ExpectError(ErrorKind::kIo, "Is a directory", [&] { WriteFileAtomically(folder.path(), "x"); });
  ExpectError(ErrorKind::kIo, "Not a directory",
              [&] { WriteFileAtomically(folder / "file/below", "x"); });
  ExpectError(ErrorKind::kIo, "cannot make folder " + (folder / "file").string(),
              [&] { MakeFolder(folder / "file"); });
}

TEST(FileTest, NewFilesFollowTheUmask) {
  TempFolder folder;
  const mode_t before = umask(022);
  WriteFileAtomically(folder / "file", "x");
  umask(before);
  struct stat info {};
  ASSERT_EQ(stat((folder / "file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
}

TEST(FileTest, AKilledWriterLeavesTheOldContentOrTheNew) {
  TempFolder folder;
  const fs::path path = folder / "file";
  const std::string a(1 << 20, 'a');
  const std::string b(1 << 20, 'b');
  WriteFileAtomically(path, a);
  for (int round = 0; round < 5; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    while (child == 0) {
      WriteFileAtomically(path, b);
      WriteFileAtomically(path, a);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10 + 7 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::string content = ReadFile(path);
    EXPECT_TRUE(content == a || content == b) << content.size() << " bytes";
  }
}

TEST(FileLockTest, ExcludesASecondHolderUntilReleased) {
  TempFolder folder;
  {
    FileLock lock(folder / "lock", "busy");
    ExpectError(ErrorKind::kInput, "the study is running elsewhere",
                [&] { FileLock second(folder / "lock", "the study is running elsewhere"); });
  }
  FileLock again(folder / "lock", "busy");
}

TEST(FileLockTest, EndsWithAKilledHolder) {
  TempFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    FileLock lock(folder / "lock", "busy");
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  ExpectError(ErrorKind::kInput, "busy", [&] { FileLock second(folder / "lock", "busy"); });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  FileLock lock(folder / "lock", "busy");
}

TEST(FileLockTest, IsNotInheritedByChildren) {
  TempFolder folder;
  std::optional<FileLock> lock;
  lock.emplace(folder / "lock", "busy");
  const pid_t child = StartProcess({.argv = {"sleep", "60"}});
  lock.reset();
  lock.emplace(folder / "lock", "busy");
  SignalProcessGroup(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

// Known answers from the FNV authors' test suite.
TEST(HashTest, IsFnv1a64) {
  EXPECT_EQ(HashBytes(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(HashBytes("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(HashBytes("foobar"), 0x85944171f73967e8ULL);
  EXPECT_EQ(HashBytes("bar", HashBytes("foo")), HashBytes("foobar"));
}

TEST(IsLockedTest, WhileTheLockIsHeld) {
  const TempFolder folder;
  const fs::path path = folder.path() / ".lock";
  EXPECT_FALSE(IsLocked(path));
  {
    const FileLock lock(path, "busy");
    EXPECT_TRUE(IsLocked(path));
  }
  EXPECT_FALSE(IsLocked(path));
  const FileLock again(path, "asking left it locked");
}

}  // namespace
}  // namespace lathe
