#include "report/frame.h"

#include <fmt/format.h>

#include <vector>

#include "report/chart_js.h"
#include "report/data_js.h"
#include "report/html.h"
#include "report/live_js.h"
#include "report/page_css.h"
#include "report/page_js.h"
#include "report/plots_js.h"
#include "report/table_js.h"

namespace lathe::report {
namespace {

// '<' would let a name close the script element.
std::string WithoutTags(std::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char c : json) c == '<' ? safe += "\\u003c" : safe += c;
  return safe;
}

}  // namespace

std::string WholePage(const Frame& frame) {
  const bool live = frame.kind == PageKind::kLive;
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
      "'unsafe-inline'; style-src 'unsafe-inline'; img-src data:{}\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n"
      "<title>{} · Lathe</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n",
      live ? "; connect-src 'self'" : "", Escape(frame.title), PageCss(), frame.main);
  std::vector<std::string_view> scripts;
  if (!frame.data.empty()) {
    html +=
        "<script type=\"application/json\" id=\"data\">" + WithoutTags(frame.data) + "</script>\n";
    scripts = {ChartJs(), DataJs(), PlotsJs(), TableJs(), PageJs()};
  }
  if (live) scripts.push_back(LiveJs());
  for (const std::string_view script : scripts) {
    html += fmt::format("<script>{}</script>\n", script);
  }
  return html + "</body>\n</html>\n";
}

}  // namespace lathe::report
