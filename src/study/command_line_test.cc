#include "study/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_folder_testing.h"

namespace lathe::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SplitWords, AsAShellWould) {
  EXPECT_THAT(SplitWords("python3 train.py {out}"), ElementsAre("python3", "train.py", "{out}"));
  EXPECT_THAT(SplitWords("  a\t b\nc "), ElementsAre("a", "b", "c"));
  EXPECT_THAT(SplitWords(R"(my\ program 'a b' "c d"'e'f '')"),
              ElementsAre("my program", "a b", "c def", ""));
  EXPECT_THAT(SplitWords(R"('$(rm) | `x` \' "\$HOME \"quoted\" \n \\" \$)"),
              ElementsAre(R"($(rm) | `x` \)", R"($HOME "quoted" \n \)", "$"));
  EXPECT_THAT(SplitWords("a~b c#d '~' {x} k=v"), ElementsAre("a~b", "c#d", "~", "{x}", "k=v"));
  EXPECT_THAT(SplitWords(" \n"), IsEmpty());
}

TEST(SplitWords, WhatAShellWouldDoMoreWithIsRefused) {
  for (const char* text : {"a | b", "a > b", "a < b", "a; b", "a && b", "echo $HOME", "\"$HOME\"",
                           "`x`", "\"`x`\"", "(a)", "*.py", "a?", "[ab]", "~/train.py", "a # b"}) {
    EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { SplitWords(text); }), HasSubstr("no shell"))
        << text;
  }
  EXPECT_THAT(MessageOf(ErrorKind::kInput, [] { SplitWords("a > b"); }), HasSubstr("write '>'"));
}

TEST(SplitWords, OpenEndsAreNamed) {
  ExpectError(ErrorKind::kInput, "a ' is not closed", [] { SplitWords("a 'b"); });
  ExpectError(ErrorKind::kInput, "a \" is not closed", [] { SplitWords("a \"b"); });
  ExpectError(ErrorKind::kInput, "a \" is not closed", [] { SplitWords("\"b\\"); });
  ExpectError(ErrorKind::kInput, "a backslash ends it", [] { SplitWords("a \\"); });
}

TEST(FillIn, ReplacesNamesOnce) {
  const std::map<std::string, std::string> values = {{"out", "{network} $(x)"}, {"network", "n"}};
  EXPECT_EQ(FillIn("{out}", values), "{network} $(x)");
  EXPECT_EQ(FillIn("--network={network}/{network}", values), "--network=n/n");
  EXPECT_EQ(FillIn("", values), "");
}

TEST(FillIn, OtherBracesStay) {
  const std::map<std::string, std::string> values = {{"out", "o"}};
  EXPECT_EQ(FillIn(R"({"a": {"b": 1}} {} { out } {out)", values),
            R"({"a": {"b": 1}} {} { out } {out)");
  EXPECT_EQ(FillIn("{{out}} {{{out}}} {{1 {{", values), "{out} {{out}} {{1 {{");
}

TEST(FillIn, UnknownNamesGetTheNearest) {
  const auto message =
      MessageOf(ErrorKind::kInput, [] { FillIn("x{netwrok}", {{"network", ""}, {"out", ""}}); });
  EXPECT_EQ(message,
            "unknown {netwrok}; did you mean {network}?; known: {network}, {out}; {{netwrok}} "
            "stands for itself");
}

}  // namespace
}  // namespace lathe::study
