#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "report/chart_js.h"
#include "report/page_css.h"
#include "report/page_js.h"
#include "report/table_js.h"
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
                     {"accuracy_target", data.accuracy_target},
                     {"genes", data.genes},
                     {"trials", trials},
                     {"front", FrontOf(data.trials)},
                     {"networks", networks},
                     {"edges_us", data.edges_us},
                     {"bucket_counts", data.bucket_counts},
                     {"bucket_networks", data.bucket_networks},
                     {"lut_check", data.lut_check}};
  // Invalid UTF-8 is replaced; '<' would let a name close the script element.
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) c == '<' ? safe += "\\u003c" : safe += c;
  return safe;
}

constexpr std::string_view kNone = "–";  // a number that is not known

std::string Ms(double us) { return us > 0 ? fmt::format("{:.3f}", us / 1000) : std::string(kNone); }
std::string Percent(double share) {
  return share > 0 ? fmt::format("{:.2f}", 100 * share) : std::string(kNone);
}
std::string Count(double count) { return count > 0 ? FormatShort(count) : std::string(kNone); }

int64_t CompleteTrials(const ReportData& data) {
  return std::ranges::count(data.trials, "COMPLETE", &ReportTrial::state);
}

// A small "92.59–93.62" behind a number that is known.
std::string Range(const std::string& low, const std::string& high) {
  if (low == kNone || high == kNone) return "";
  return fmt::format(" <small>{}–{}</small>", low, high);
}

bool WithinBudget(const ReportData& data, const ReportNetwork& network) {
  return network.measured_us > 0 && network.measured_us <= data.latency_budget_us;
}

std::string Tile(std::string_view value, std::string_view label) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", Escape(value),
                     Escape(label));
}

std::string FinalistTiles(const ReportData& data, const ReportNetwork& best) {
  std::string html = Tile(Percent(best.accuracy) + " %",
                          fmt::format("test accuracy of the best finalist ({}–\u2060{})",
                                      Percent(best.accuracy_low), Percent(best.accuracy_high)));
  html += Tile(Ms(best.measured_us) + " ms",
               fmt::format("measured; budget {} ms", Ms(data.latency_budget_us)));
  const ReportNetwork* rival = nullptr;
  for (const ReportNetwork& network : data.networks) {
    if (network.finalist || network.accuracy <= 0 || !WithinBudget(data, network)) continue;
    if (rival == nullptr || network.accuracy > rival->accuracy) rival = &network;
  }
  if (rival != nullptr) {
    html += Tile(fmt::format("{:+.2f}", 100 * (best.accuracy - rival->accuracy)),
                 "points against the best baseline in the budget");
  }
  return html + Tile(Count(best.params), "parameters") +
         Tile(Count(best.macs), "multiply-accumulates");
}

std::string TrialTiles(const ReportData& data) {
  const ReportTrial* best = nullptr;
  for (const ReportTrial& trial : data.trials) {
    if (trial.state == "COMPLETE" && (best == nullptr || trial.value < best->value)) best = &trial;
  }
  if (best == nullptr) return Tile(Ms(data.latency_budget_us) + " ms", "latency budget");
  return Tile(Percent(best->accuracy) + " %",
              fmt::format("accuracy of the best trial so far, trial {}, after short training",
                          best->number)) +
         Tile(Ms(best->latency_us) + " ms",
              fmt::format("its LUT latency; budget {} ms", Ms(data.latency_budget_us)));
}

std::string Headline(const ReportData& data) {
  std::string html = fmt::format(
      "<header>\n<p class=\"brand\">Lathe</p>\n<h1>{}</h1>\n<p class=\"muted\">Networks within {} "
      "ms",
      Escape(data.title), Ms(data.latency_budget_us));
  if (data.accuracy_target > 0)
    html += fmt::format(" with at least {} % accuracy", Percent(data.accuracy_target));
  html += "</p>\n</header>\n<div class=\"tiles\">\n";
  const auto best = std::ranges::find_if(data.networks, [](const ReportNetwork& network) {
    return network.finalist && network.accuracy > 0;
  });
  html += best != data.networks.end() ? FinalistTiles(data, *best) : TrialTiles(data);
  std::string counts = fmt::format("of {} trials complete", data.trials.size());
  for (const auto& [state, word] : {std::pair("PRUNED", "pruned"), std::pair("FAIL", "failed")}) {
    const auto count = std::ranges::count(data.trials, state, &ReportTrial::state);
    if (count > 0) counts += fmt::format(", {} {}", count, word);
  }
  html += Tile(std::to_string(CompleteTrials(data)), counts);
  return html + "</div>\n";
}

// `title` and `description` are HTML.
std::string Section(std::string_view title, std::string_view description,
                    std::string_view content) {
  return fmt::format("<section><h2>{}</h2>\n<p class=\"muted\">{}</p>\n{}</section>\n", title,
                     description, content);
}

std::string Plot(std::string_view id, std::string_view title, std::string_view description,
                 bool tall = false) {
  return Section(
      title, description,
      fmt::format(
          "<div class=\"plot{}\"><canvas id=\"{}\" role=\"img\" aria-label=\"{}\"></canvas></div>",
          tall ? " tall" : "", id, title));
}

std::string FrontPlot(const ReportData& data) {
  constexpr const char* kTitle = "Accuracy against latency";
  const bool trained = std::ranges::any_of(
      data.networks, [](const ReportNetwork& network) { return network.accuracy > 0; });
  if (!trained && CompleteTrials(data) == 0)
    return Section(kTitle, "No trial is complete yet.", "");
  std::string key = fmt::format(
      "<span class=\"key line\"></span>latency budget{} &ensp; <span class=\"key band\"></span>the "
      "sub-space that was "
      "searched",
      data.accuracy_target > 0 ? ", accuracy target" : "");
  if (trained) key += " &ensp; Bars: p10–p90 of the latency, 95 % interval of the accuracy.";
  return Plot("front", kTitle, key, true);
}

std::string NetworkTable(const ReportData& data) {
  constexpr const char* kTitle = "Finalists and baselines";
  if (data.networks.empty()) {
    return Section(kTitle,
                   "None yet: they are trained fully and measured once the trials are done.", "");
  }
  std::string html =
      "<div class=\"scroll\"><table><thead><tr><th class=\"text\">network</th><th>test accuracy, "
      "%</th><th>measured, "
      "ms</th><th>LUT, ms</th><th>params</th><th>MACs</th><th class=\"text\">in "
      "budget</th></tr></thead>\n<tbody>\n";
  for (const ReportNetwork& network : data.networks) {
    const bool inside = WithinBudget(data, network);
    html += fmt::format(
        "<tr><td class=\"text {}\">{}</td><td>{}{}</td><td>{}{}</td><td>{}</td>"
        "<td>{}</td><td>{}</td><td class=\"text {}\">{}</td></tr>\n",
        network.finalist ? "finalist" : "baseline", Escape(network.name), Percent(network.accuracy),
        network.accuracy > 0 ? Range(Percent(network.accuracy_low), Percent(network.accuracy_high))
                             : "",
        Ms(network.measured_us), Range(Ms(network.measured_p10_us), Ms(network.measured_p90_us)),
        network.lut_us > 0 ? Ms(network.lut_us) : "-", Count(network.params), Count(network.macs),
        inside ? "good" : "bad", inside ? "yes" : "no");
  }
  return Section(kTitle,
                 "All trained with the same recipe on all training images, measured end to end. "
                 "Small: the 95 % interval "
                 "and p10–p90.",
                 html + "</tbody></table></div>");
}

// "irb 48x7x7 -> 64, k3" with the operation set off.
std::string LayerItem(const std::string& layer) {
  const std::string op = Escape(layer.substr(0, layer.find(' ')));
  std::string rest = Escape(layer.substr(std::min(layer.size(), layer.find(' '))));
  constexpr std::string_view kArrow = "-&gt;";
  if (const size_t arrow = rest.find(kArrow); arrow != std::string::npos)
    rest.replace(arrow, kArrow.size(), "→");
  return fmt::format("<li class=\"{}\"><b>{}</b>{}</li>", op, op, rest);
}

std::string FinalistCards(const ReportData& data) {
  std::string html;
  for (const ReportNetwork& network : data.networks) {
    if (!network.finalist || network.layers.empty()) continue;
    std::string content = "<p class=\"files\">";
    for (const char* file : {"model.onnx", "weights.safetensors", "network.json", "card.md"}) {
      content += fmt::format("<a href=\"{}/{}\">{}</a>", Escape(network.path), file, file);
    }
    content += "</p>\n<ol class=\"layers\">";
    for (const std::string& layer : network.layers) content += LayerItem(layer);
    html += Section(
        fmt::format("<span class=\"finalist\">{}</span>", Escape(network.name)),
        fmt::format("{} % on the test images, {} ms measured, {} parameters.",
                    Percent(network.accuracy), Ms(network.measured_us), Count(network.params)),
        content + "</ol>");
  }
  return html.empty() ? html : "<div class=\"pair\">\n" + html + "</div>\n";
}

std::string SmallPlots(const ReportData& data) {
  std::string html;
  if (CompleteTrials(data) > 0) {
    html += Plot("progress", "Progress of the search",
                 "Objective: cross-entropy + α · latency<sup>β</sup>.");
  }
  if (std::ranges::any_of(data.networks,
                          [](const ReportNetwork& network) { return !network.curve.empty(); })) {
    html += Plot("curves", "Learning curves", "Accuracy on the test images after each epoch.");
  }
  if (!data.lut_check.empty()) {
    html += Plot("latency", "Latency: predicted and measured",
                 "Networks measured end to end before training.");
  }
  if (!data.bucket_counts.empty()) {
    html += Plot(
        "subspaces", "Latency sub-spaces",
        data.bucket_networks.empty()
            ? "How the Sobol candidates of the space fall into them; what was searched is in "
              "colour."
            : "How the Sobol candidates of the space fall into them, and above the bars how many "
              "networks of the space lie there; what was searched is in colour.");
  }
  return html.empty() ? html : "<div class=\"pair\">\n" + html + "</div>\n";
}

std::string TrialRow(const ReportTrial& trial) {
  const bool done = trial.state == "COMPLETE";
  const auto result = [done](const std::string& text) { return done ? text : std::string(kNone); };
  return fmt::format(
      "<tr><td>{}</td><td class=\"text state "
      "{}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
      "<td>{}</td><td class=\"text wrap\">{}</td></tr>\n",
      trial.number, Escape(trial.state), Escape(trial.state),
      result(fmt::format("{:.2f}", 100 * trial.accuracy)),
      result(fmt::format("{:.4f}", trial.loss)), Ms(trial.latency_us),
      result(fmt::format("{:.4f}", trial.value)), Count(trial.params), Count(trial.macs),
      trial.seconds > 0 ? fmt::format("{:.1f}", trial.seconds) : std::string(kNone),
      Escape(trial.note));
}

std::string TrialTable(const ReportData& data) {
  if (data.trials.empty()) return Section("Trials", "None yet.", "");
  std::string html =
      "<section><h2>Trials</h2>\n<div class=\"tools\"><input type=\"search\" id=\"filter\" hidden "
      "placeholder=\"filter: "
      "stage2.kernel=5 fail …\" aria-label=\"filter trials\"><span class=\"muted\" "
      "id=\"shown\"></span></div>\n<div "
      "class=\"scroll\"><table id=\"trials\"><thead><tr>";
  for (const std::string_view head : {"trial", "state", "accuracy, %", "loss", "LUT, ms",
                                      "objective", "params", "MACs", "seconds", "note"}) {
    html += fmt::format("<th{}><button>{}</button></th>",
                        head == "state" || head == "note" ? " class=\"text\"" : "", head);
  }
  html += "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < std::min(kStaticRows, data.trials.size()); ++i)
    html += TrialRow(data.trials[i]);
  return html + "</tbody></table></div></section>\n";
}

std::string Provenance(const ReportData& data) {
  if (data.provenance.empty()) return "";
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
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
      "'unsafe-inline'; style-src "
      "'unsafe-inline'; img-src data:\">\n";
  html += fmt::format("<title>{} · Lathe</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
                      Escape(data.title), PageCss());
  html += Headline(data) + FrontPlot(data) + NetworkTable(data) + FinalistCards(data) +
          SmallPlots(data) + TrialTable(data) + Provenance(data) + "</main>\n";
  html += "<script type=\"application/json\" id=\"data\">" + DataJson(data) + "</script>\n";
  html += fmt::format(
      "<script>{}</script>\n<script>{}</script>\n<script>{}</script>\n</body>\n</html>\n",
      ChartJs(), PageJs(), TableJs());
  return html;
}

void WriteReport(const fs::path& path, const ReportData& data) {
  WriteFileAtomically(path, RenderReport(data));
}

}  // namespace lathe::report
