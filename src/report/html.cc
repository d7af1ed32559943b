#include "report/html.h"

#include <fmt/format.h>

#include "base/log.h"

namespace lathe::report {

std::string Escape(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string Ms(double us) { return us > 0 ? fmt::format("{:.3f}", us / 1000) : std::string(kNone); }

std::string Percent(double share) {
  return share > 0 ? fmt::format("{:.2f}", 100 * share) : std::string(kNone);
}

std::string Count(double count) { return count > 0 ? FormatShort(count) : std::string(kNone); }

std::string Section(std::string_view title, std::string_view description,
                    std::string_view content) {
  return fmt::format("<section><h2>{}</h2>\n<p class=\"muted\">{}</p>\n{}</section>\n", title,
                     description, content);
}

std::string Plot(std::string_view id, std::string_view title, std::string_view description,
                 bool tall) {
  return Section(
      title, description,
      fmt::format(
          "<div class=\"plot{}\"><canvas id=\"{}\" role=\"img\" aria-label=\"{}\"></canvas></div>",
          tall ? " tall" : "", id, title));
}

}  // namespace lathe::report
