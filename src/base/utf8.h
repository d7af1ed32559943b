// UTF-8 as a terminal shows it: a column per character. Private to this module.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace lathe {

inline bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// Columns that `text` takes ("\u00b5s" takes two).
inline size_t Width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, StartsCharacter));
}

// Bytes of the first `columns` characters.
inline size_t BytesOf(std::string_view text, size_t columns) {
  size_t seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (StartsCharacter(text[i]) && seen++ == columns) return i;
  }
  return text.size();
}

}  // namespace lathe
