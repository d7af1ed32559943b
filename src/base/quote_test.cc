#include "base/quote.h"

#include <gtest/gtest.h>

#include <toml++/toml.h>

#include "base/process.h"

namespace lathe {
namespace {

const std::vector<std::string> kTexts = {"",
                                         "plain",
                                         "two words",
                                         "it's",
                                         "\"quoted\"",
                                         "a\\b\\",
                                         "$HOME `x`",
                                         "line\nbreak",
                                         "tab\tdel\x7f",
                                         "caf\xc3\xa9",
                                         "*?[a]",
                                         "a=b,c:d@e%f/g.h-i_j+k",
                                         "~user",
                                         "#no comment",
                                         "a;b&c|d<e>f",
                                         "!event"};

TEST(ShellQuotedTest, AShellReadsItBack) {
  for (const std::string& text : kTexts) {
    ProcessOptions options;
    options.argv = {"sh", "-c", "printf %s " + ShellQuoted(text)};
    EXPECT_EQ(CapturedProcess(std::move(options)).Wait().output, text);
  }
}

TEST(ShellQuotedTest, WhatNeedsNoQuotesGetsNone) {
  EXPECT_EQ(ShellQuoted("configs/studies/a.toml"), "configs/studies/a.toml");
  EXPECT_EQ(ShellQuoted("search.trials=3"), "search.trials=3");
  EXPECT_EQ(ShellQuoted(""), "''");
  EXPECT_EQ(ShellQuoted("it's"), "'it'\\''s'");
}

TEST(TomlQuotedTest, TomlReadsItBack) {
  for (const std::string& text : kTexts) {
    const toml::table table = toml::parse("key = " + TomlQuoted(text));
    EXPECT_EQ(table["key"].value<std::string>(), text);
  }
  EXPECT_EQ(TomlQuoted("bad \xff"), "\"bad \xef\xbf\xbd\"");
}

}  // namespace
}  // namespace lathe
