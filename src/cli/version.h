// The version of the program, written into studies, packages and reports.
#pragma once

namespace lathe::cli {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace lathe::cli
