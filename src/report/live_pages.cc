// Pages of the live server that are no study's.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report/frame.h"
#include "report/html.h"
#include "report/server.h"

namespace lathe::report {
namespace {

std::string PageHead(const std::string& title) {
  return fmt::format("<header>\n<p class=\"brand\">Lathe</p>\n<h1>{}</h1>\n</header>\n",
                     Escape(title));
}

}  // namespace

std::string RenderMessage(const std::string& title, const std::string& text) {
  return WholePage({.title = title,
                    .kind = PageKind::kLive,
                    .main = PageHead(title) + "<section role=\"status\"><p>" + Escape(text) +
                            "</p></section>\n<div id=\"live\"></div>\n",
                    .data = ""});
}

std::string RenderIndex(const std::vector<Glance>& studies) {
  std::string html =
      "<div class=\"scroll\"><table><thead><tr><th class=\"text\">study</th><th "
      "class=\"text\">state</th><th>trials</th><th>accuracy of the best, %</th><th>budget, "
      "ms</th></tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < studies.size(); ++i) {
    const Glance& study = studies[i];
    html += fmt::format(
        "<tr><td class=\"text\"><a href=\"{}/\">{}</a></td><td class=\"text\">{}</td><td>{} of "
        "{}</td><td>{}</td><td>{}</td></tr>\n",
        i + 1, Escape(study.title), Escape(study.state), study.done, study.trials,
        Percent(study.best_accuracy), Ms(study.latency_budget_us));
  }
  nlohmann::ordered_json fronts = nlohmann::ordered_json::array();
  for (const Glance& study : studies) {
    fronts.push_back({{"title", study.title}, {"front", study.front}});
  }
  const nlohmann::ordered_json data = {{"studies", fronts}};
  return WholePage(
      {.title = "Studies",
       .kind = PageKind::kLive,
       .main = PageHead("Studies") + "<section>" + html + "</tbody></table></div></section>\n" +
               Plot("studies", "Accuracy against latency",
                    "The trials of each study that no other of its trials beats in both.", true),
       .data = data.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)});
}

}  // namespace lathe::report
