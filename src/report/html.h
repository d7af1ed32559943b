// Pieces of HTML that the page's parts share: text from outside made harmless, and numbers as the
// page writes them.
#pragma once

#include <string>
#include <string_view>

namespace lathe::report {

std::string Escape(std::string_view text);

inline constexpr std::string_view kNone = "–";  // a number that is not known

// "0.231", "92.34" and "403 k"; kNone for what is not above 0.
std::string Ms(double us);
std::string Percent(double share);
std::string Count(double count);

// `title` and `description` are HTML.
std::string Section(std::string_view title, std::string_view description, std::string_view content);

// A section with a canvas for plots.js.
std::string Plot(std::string_view id, std::string_view title, std::string_view description,
                 bool tall = false);

}  // namespace lathe::report
