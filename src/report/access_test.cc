#include "report/access.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe::report {
namespace {

TEST(IsThisMachineTest, NamesAndAddresses) {
  for (const char* host : {"localhost", "localhost:8265", "127.0.0.1", "127.0.0.1:80", "127.1.2.3",
                           "[::1]", "[::1]:80", "::1"}) {
    EXPECT_TRUE(IsThisMachine(host)) << host;
  }
  for (const char* host : {"", "0.0.0.0", "::", "192.168.1.2:80", "127.0.0.1.evil.com",
                           "127.evil.com", "localhost.evil.com", "evil.com:80", "[::2]:80", "["}) {
    EXPECT_FALSE(IsThisMachine(host)) << host;
  }
}

TEST(SameTokenTest, OnlyTheWholeToken) {
  EXPECT_TRUE(SameToken("secret", "secret"));
  for (const char* given : {"", "s", "secre", "secrets", "Secret", "secretsecret"}) {
    EXPECT_FALSE(SameToken(given, "secret")) << given;
  }
  EXPECT_FALSE(SameToken("", ""));
  EXPECT_FALSE(SameToken("x", ""));
}

TEST(IsFitTokenTest, LongEnoughAndPlain) {
  EXPECT_TRUE(IsFitToken("a-long_token.1"));
  for (const char* token :
       {"", "short", "with blanks", "semi;colon;", "new\nlines\n", "ümläute!"}) {
    EXPECT_FALSE(IsFitToken(token)) << token;
  }
}

TEST(CookieValueTest, AmongOthers) {
  EXPECT_EQ(CookieValue("a=1; lathe=xyz; b=2", "lathe"), "xyz");
  EXPECT_EQ(CookieValue("lathe=xyz", "lathe"), "xyz");
  EXPECT_EQ(CookieValue("notlathe=xyz; latheX=1", "lathe"), "");
  EXPECT_EQ(CookieValue("", "lathe"), "");
  EXPECT_EQ(CookieValue(";;  ;", "lathe"), "");
}

TEST(FileInsideTest, NothingOutsideTheFolder) {
  const TempFolder temp;
  const fs::path folder = temp.path() / "study";
  WriteFileAtomically(folder / "finalists/01/model.onnx", "model");
  WriteFileAtomically(folder / ".lock", "");
  WriteFileAtomically(temp.path() / "secret", "secret");
  WriteFileAtomically(temp.path() / "study-2/secret", "secret");
  fs::create_symlink(temp.path() / "secret", folder / "link");
  fs::create_directory_symlink(temp.path(), folder / "up");
  fs::create_symlink("model.onnx", folder / "finalists/01/alias.onnx");
  EXPECT_TRUE(FileInside(folder, "finalists/01/model.onnx"));
  EXPECT_TRUE(FileInside(folder, "finalists/01/alias.onnx"));
  for (const std::string path :
       {"", "finalists", "finalists/01", "nothing", "../secret", "finalists/../../secret", "link",
        "up/secret", "../study-2/secret", "/etc/passwd", "//etc/passwd", ".lock", "./.lock",
        "finalists/./01/model.onnx"}) {
    EXPECT_FALSE(FileInside(folder, path)) << path;
  }
  EXPECT_FALSE(FileInside(folder, std::string("finalists/01/model.onnx\0.txt", 28)));
  EXPECT_FALSE(FileInside(temp.path() / "gone", "x"));
}

}  // namespace
}  // namespace lathe::report
