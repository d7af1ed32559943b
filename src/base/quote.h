// Text as other languages read it back, whatever is in it.
#pragma once

#include <string>
#include <string_view>

namespace lathe {

// The argument that a POSIX shell reads as exactly `text`; left as it is if it means nothing else.
std::string ShellQuoted(std::string_view text);

// A basic string of TOML; bytes that are not UTF-8 are replaced.
std::string TomlQuoted(std::string_view text);

}  // namespace lathe
