// A study file that explains itself: above each key, what docs/study-file.md says of it.
#pragma once

#include <string>
#include <string_view>

namespace lathe::cli {

// `toml`: as study::ToToml() writes it, a key per line. `doc`: Markdown with a table of keys under
// the heading of each table.
std::string WithComments(std::string_view toml, std::string_view doc);

}  // namespace lathe::cli
