#include "report/event_file.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe::report {
namespace {

std::string Bytes(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

TEST(EventFileTest, ChecksumOfTheStandard) {  // RFC 3720, B.4
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
}

// A record of TensorBoard 2.21's own EventFileWriter: time 2.5, step 300, two scalars.
const char* const kTheirs =
    "2c00000000000000f4aecc4509000000000000044010ac022a1e"
    "0a0f0a086163637572616379150000803f"
    "0a0b0a046c6f7373150000003f6d268808";

TEST(EventFileTest, WritesWhatTensorBoardWrites) {
  const TempFolder folder;
  EventFile(folder.path(), "x").Add(300, 2.5, {{"loss", 0.5}, {"accuracy", 1}});
  const std::string file = ReadFile(folder / "events.out.tfevents.x");
  EXPECT_TRUE(file.ends_with(Bytes(kTheirs)));
  EXPECT_NE(file.find("brain.Event:2"), std::string::npos);
}

TEST(EventFileTest, AppendsAndRepairs) {
  const TempFolder folder;
  const fs::path path = folder / "events.out.tfevents.x";
  {
    EventFile events(folder.path(), "x");
    events.Add(1, 2.5, {{"loss", 0.5}});
  }
  const std::string one = ReadFile(path);
  EventFile(folder.path(), "x").Add(2, 3.5, {{"loss", 0.25}, {"accuracy", 1}});
  const std::string two = ReadFile(path);
  EXPECT_TRUE(two.starts_with(one));
  for (const size_t torn : {two.size() - 1, two.size() - 20, one.size() + 3}) {
    WriteFileAtomically(path, two.substr(0, torn));
    EventFile(folder.path(), "x").Add(2, 3.5, {{"loss", 0.25}, {"accuracy", 1}});
    EXPECT_EQ(ReadFile(path), two) << torn;
  }
  WriteFileAtomically(path, "not an event file at all");
  EventFile(folder.path(), "x").Add(1, 2.5, {{"loss", 0.5}});
  EXPECT_EQ(ReadFile(path), one);
}

}  // namespace
}  // namespace lathe::report
