#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "report/chart_js.h"
#include "report/page_css.h"
#include "report/page_js.h"
#include "search/proposer.h"

namespace lathe::report {
namespace {

using Json = nlohmann::ordered_json;

// Rows of the trial table that are there without scripts; the script shows the others.
constexpr size_t kStaticRows = 200;

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

// Indices of the completed trials on the accuracy-latency front.
std::vector<size_t> FrontOf(const std::vector<ReportTrial>& trials) {
  std::vector<size_t> complete;
  std::vector<double> cost, value;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (trials[i].state != "COMPLETE") continue;
    complete.push_back(i);
    cost.push_back(trials[i].latency_us);
    value.push_back(trials[i].accuracy);
  }
  std::vector<size_t> front = search::ParetoFront(cost, value);
  for (size_t& index : front) index = complete[index];
  return front;
}

std::string DataJson(const ReportData& data) {
  Json trials = Json::array();
  for (const ReportTrial& trial : data.trials) {
    trials.push_back({{"number", trial.number},
                      {"state", trial.state},
                      {"accuracy", trial.accuracy},
                      {"loss", trial.loss},
                      {"latency_us", trial.latency_us},
                      {"value", trial.value},
                      {"params", trial.params},
                      {"macs", trial.macs},
                      {"seconds", trial.seconds},
                      {"note", trial.note},
                      {"encoding", trial.encoding}});
  }
  Json networks = Json::array();
  for (const ReportNetwork& network : data.networks) {
    networks.push_back({{"name", network.name},
                        {"finalist", network.finalist},
                        {"accuracy", network.accuracy},
                        {"accuracy_low", network.accuracy_low},
                        {"accuracy_high", network.accuracy_high},
                        {"measured_us", network.measured_us},
                        {"measured_p10_us", network.measured_p10_us},
                        {"measured_p90_us", network.measured_p90_us},
                        {"curve", network.curve}});
  }
  const Json json = {{"latency_budget_us", data.latency_budget_us},
                     {"subspace_low_us", data.subspace_low_us},
                     {"subspace_high_us", data.subspace_high_us},
                     {"genes", data.genes},
                     {"trials", trials},
                     {"front", FrontOf(data.trials)},
                     {"networks", networks},
                     {"edges_us", data.edges_us},
                     {"bucket_counts", data.bucket_counts},
                     {"lut_check", data.lut_check}};
  // Invalid UTF-8 is replaced; '<' would let a name close the script element.
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) c == '<' ? safe += "\\u003c" : safe += c;
  return safe;
}

std::string Ms(double us) { return fmt::format("{:.3f}", us / 1000); }
std::string Percent(double share) { return fmt::format("{:.2f}", 100 * share); }

std::string Tile(std::string_view value, std::string_view label) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", Escape(value), Escape(label));
}

std::string Headline(const ReportData& data) {
  std::string html = fmt::format("<h1>{}</h1>\n<p class=\"muted\">Networks within {} ms, found by Lathe</p>\n<div class=\"tiles\">\n",
                                 Escape(data.title), Ms(data.latency_budget_us));
  const auto best = std::ranges::find_if(data.networks, [](const ReportNetwork& network) { return network.finalist; });
  if (best != data.networks.end() && best->accuracy > 0) {
    html += Tile(Percent(best->accuracy) + " %", fmt::format("test accuracy of the best finalist ({}–{})",
                                                             Percent(best->accuracy_low), Percent(best->accuracy_high)));
    html += Tile(Ms(best->measured_us) + " ms", fmt::format("measured; budget {} ms", Ms(data.latency_budget_us)));
    html += Tile(FormatShort(best->params), "parameters");
    html += Tile(FormatShort(best->macs), "multiply-accumulates");
  }
  const auto complete = std::ranges::count(data.trials, "COMPLETE", &ReportTrial::state);
  html += Tile(std::to_string(complete), fmt::format("of {} trials complete", data.trials.size()));
  return html + "</div>\n";
}

std::string Plot(std::string_view id, std::string_view title, std::string_view description, bool tall = false) {
  return fmt::format(
      "<section><h2>{}</h2>\n<p class=\"muted\">{}</p>\n<div class=\"plot{}\"><canvas id=\"{}\" role=\"img\" aria-label=\"{}\"></canvas></div></section>\n",
      title, description, tall ? " tall" : "", id, title);
}

std::string NetworkTable(const ReportData& data) {
  std::string html =
      "<section><h2>Finalists and baselines</h2>\n<p class=\"muted\">All trained with the same recipe on all training "
      "images, measured end to end.</p>\n<div class=\"scroll\"><table><thead><tr><th class=\"text\">network</th><th>test accuracy, "
      "%</th><th>95 % interval</th><th>LUT, ms</th><th>measured, ms</th><th>p10–p90</th><th>params</th><th>MACs</th><th "
      "class=\"text\">within budget</th></tr></thead>\n<tbody>\n";
  for (const ReportNetwork& network : data.networks) {
    const bool inside = network.measured_us <= data.latency_budget_us;
    html += fmt::format(
        "<tr><td class=\"text\">{}</td><td>{}</td><td>{}–{}</td><td>{}</td><td>{}</td><td>{}–{}</td><td>{}</td><td>{}</td><td "
        "class=\"text {}\">{}</td></tr>\n",
        Escape(network.name), Percent(network.accuracy), Percent(network.accuracy_low), Percent(network.accuracy_high),
        Ms(network.lut_us), Ms(network.measured_us), Ms(network.measured_p10_us), Ms(network.measured_p90_us),
        FormatShort(network.params), FormatShort(network.macs), inside ? "good" : "bad", inside ? "yes" : "no");
  }
  return html + "</tbody></table></div></section>\n";
}

std::string FinalistCards(const ReportData& data) {
  std::string html;
  for (const ReportNetwork& network : data.networks) {
    if (!network.finalist || network.layers.empty()) continue;
    html += fmt::format("<section><h2>{}</h2>\n<p>{} % on the test images, {} ms measured, {} parameters.</p>\n", Escape(network.name),
                        Percent(network.accuracy), Ms(network.measured_us), FormatShort(network.params));
    html += "<p class=\"files\">";
    for (const char* file : {"model.onnx", "weights.safetensors", "network.json", "card.md"}) {
      html += fmt::format("<a href=\"{}/{}\">{}</a>", Escape(network.path), file, file);
    }
    html += "</p>\n<ol class=\"layers\">";
    for (const std::string& layer : network.layers) {
      html += fmt::format("<li class=\"{}\">{}</li>", Escape(layer.substr(0, layer.find(' '))), Escape(layer));
    }
    html += "</ol></section>\n";
  }
  return html;
}

std::string TrialTable(const ReportData& data) {
  std::string html =
      "<section><h2>Trials</h2>\n<input type=\"search\" id=\"filter\" hidden placeholder=\"filter: stage2.kernel=5 FAIL …\" "
      "aria-label=\"filter trials\"> <span class=\"muted\" id=\"shown\"></span>\n<div class=\"scroll\"><table "
      "id=\"trials\"><thead><tr>";
  for (const char* head : {"trial", "state", "accuracy, %", "loss", "LUT, ms", "objective", "params", "MACs", "seconds", "note"}) {
    const bool text = std::string_view(head) == "state" || std::string_view(head) == "note";
    html += fmt::format("<th{}><button>{}</button></th>", text ? " class=\"text\"" : "", head);
  }
  html += "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < std::min(kStaticRows, data.trials.size()); ++i) {
    const ReportTrial& trial = data.trials[i];
    html += fmt::format(
        "<tr><td>{}</td><td class=\"text\">{}</td><td>{}</td><td>{:.4f}</td><td>{}</td><td>{:.4f}</td><td>{}</td><td>{}</td><td>{:.1f}</td>"
        "<td class=\"text wrap\">{}</td></tr>\n",
        trial.number, Escape(trial.state), Percent(trial.accuracy), trial.loss, Ms(trial.latency_us), trial.value,
        FormatShort(trial.params), FormatShort(trial.macs), trial.seconds, Escape(trial.note));
  }
  return html + "</tbody></table></div></section>\n";
}

std::string Provenance(const ReportData& data) {
  std::string html = "<section><h2>Provenance</h2>\n<dl>\n";
  for (const auto& [label, text] : data.provenance) {
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", Escape(label), Escape(text));
  }
  return html + "</dl></section>\n";
}

}  // namespace

std::string RenderReport(const ReportData& data) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; style-src "
      "'unsafe-inline'; img-src data:\">\n";
  html += fmt::format("<title>{} · Lathe</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n", Escape(data.title), PageCss());
  html += Headline(data);
  html += Plot("front", "Accuracy against latency", "The dashed line is the budget, the shaded band the sub-space that was searched.", true);
  html += NetworkTable(data);
  html += FinalistCards(data);
  html += "<div class=\"pair\">\n" +
          Plot("progress", "Progress of the search", "Objective: cross-entropy + alpha · latency^beta.") +
          Plot("curves", "Learning curves", "Accuracy on the test images after each epoch.");
  if (!data.lut_check.empty()) {
    html += Plot("latency", "Latency: predicted and measured", "Networks that were measured end to end before training.");
  }
  if (!data.bucket_counts.empty()) {
    html += Plot("subspaces", "Latency sub-spaces", "How the Sobol candidates of the space fall into them.");
  }
  html += "</div>\n" + TrialTable(data) + Provenance(data) + "</main>\n";
  html += "<script type=\"application/json\" id=\"data\">" + DataJson(data) + "</script>\n";
  html += fmt::format("<script>{}</script>\n<script>{}</script>\n</body>\n</html>\n", ChartJs(), PageJs());
  return html;
}

void WriteReport(const fs::path& path, const ReportData& data) { WriteFileAtomically(path, RenderReport(data)); }

}  // namespace lathe::report
