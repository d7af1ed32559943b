#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/drawing.h"
#include "report/html.h"

namespace lathe::report {
namespace {

// Rows of the trial table that are there without scripts; the script shows the others.
constexpr size_t kStaticRows = 200;

int64_t CompleteTrials(const ReportData& data) {
  return std::ranges::count_if(data.trials, &ReportTrial::Complete);
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
    if (trial.Complete() && (best == nullptr || trial.value < best->value)) best = &trial;
  }
  if (best == nullptr) return Tile(Ms(data.latency_budget_us) + " ms", "latency budget");
  return Tile(Percent(best->accuracy) + " %",
              fmt::format("accuracy of the best trial so far, trial {}, after short training",
                          best->number)) +
         Tile(Ms(best->latency_us) + " ms",
              fmt::format("its LUT latency; budget {} ms", Ms(data.latency_budget_us)));
}

std::string Downloads(const ReportNetwork& network) {
  std::string html = "<p class=\"files\">";
  for (const std::string& file : network.files) {
    html += fmt::format("<a href=\"{0}/{1}\" download>{1}</a>", Escape(network.path), Escape(file));
  }
  return html + "</p>\n";
}

// Side by side, where there are several.
std::string PrecisionTable(const ReportNetwork& network) {
  if (network.precisions.size() < 2) return "";
  std::string html =
      "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th class=\"text\">computed "
      "in</th><th>ms</th><th>accuracy, %</th><th "
      "class=\"text\">file</th></tr></thead>\n<tbody>\n";
  for (const ReportPrecision& one : network.precisions) {
    html += fmt::format(
        "<tr><td class=\"text\">{}</td><td>{}</td><td>{}</td><td class=\"text\">{}</td></tr>\n",
        Escape(one.name), Ms(one.measured_us), Percent(one.accuracy), Escape(one.file));
  }
  return html + "</tbody></table></div>\n";
}

std::string FinalistCard(const ReportNetwork& network) {
  std::string content = Downloads(network) + PrecisionTable(network);
  if (network.network) {
    content += NetworkDrawing(*network.network, network.layer_us) +
               StageList(*network.network, network.layer_us);
  }
  return Section(
      fmt::format("<span class=\"finalist\">{}</span>", Escape(network.name)),
      fmt::format("{} % on the test images, {} ms measured, {} parameters.{}",
                  Percent(network.accuracy), Ms(network.measured_us), Count(network.params),
                  network.layer_us.empty()
                      ? ""
                      : " A block per layer: as high as its pixels, as wide as its share of the "
                        "latency."),
      content);
}

// The points of the front for those who do not see the plot.
std::string FrontTable(const ReportData& data) {
  std::string html =
      "<details><summary>The Pareto front of the trials as a table</summary>\n<div "
      "class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>trial</th><th>LUT, "
      "ms</th><th>accuracy, %</th>"
      "<th>params</th><th>MACs</th></tr></thead>\n<tbody>\n";
  for (const size_t index : FrontOf(data.trials)) {
    const ReportTrial& trial = data.trials[index];
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                        trial.number, Ms(trial.latency_us), Percent(trial.accuracy),
                        Count(trial.params), Count(trial.macs));
  }
  return html + "</tbody></table></div></details>\n";
}

std::string TrialRow(const ReportTrial& trial) {
  const bool done = trial.Complete();
  const auto result = [done](const std::string& text) { return done ? text : std::string(kNone); };
  return fmt::format(
      "<tr><td>{}</td><td class=\"text state "
      "{}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
      "<td>{}</td><td class=\"text note\">{}</td></tr>\n",
      trial.number, Escape(trial.state), Escape(trial.state),
      result(fmt::format("{:.2f}", 100 * trial.accuracy)),
      result(fmt::format("{:.4f}", trial.loss)), Ms(trial.latency_us),
      result(fmt::format("{:.4f}", trial.value)), Count(trial.params), Count(trial.macs),
      trial.seconds > 0 ? fmt::format("{:.1f}", trial.seconds) : std::string(kNone),
      Escape(trial.note));
}

}  // namespace

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
  std::string html = Plot("front", kTitle, key, true);
  if (CompleteTrials(data) > 0) html.insert(html.rfind("</section>"), FrontTable(data));
  return html;
}

std::string NetworkTable(const ReportData& data) {
  constexpr const char* kTitle = "Finalists and baselines";
  if (data.networks.empty()) {
    return Section(kTitle,
                   "None yet: they are trained fully and measured once the trials are done.", "");
  }
  std::string html =
      "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th "
      "class=\"text\">network</th><th>test accuracy, "
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

std::string FinalistCards(const ReportData& data) {
  std::string html;
  for (const ReportNetwork& network : data.networks) {
    if (network.finalist && !network.path.empty()) html += FinalistCard(network);
  }
  return html.empty() ? html : "<div class=\"pair\">\n" + html + "</div>\n";
}

std::string SmallPlots(const ReportData& data, bool effects) {
  std::string html;
  if (CompleteTrials(data) > 0) {
    html += Plot("progress", "Progress of the search", Escape(data.objective));
  }
  if (effects) {
    html +=
        Plot("effects", "What mattered",
             "How much of the differences between trials each gene explains alone, chance taken "
             "out. Genes that the search moved together share what they explain.");
  }
  if (!data.curves.empty()) {
    html += Plot("trial-curves", "Learning curves of trials",
                 "Objective after each epoch: the best trials, and the last that ended early.");
  }
  if (std::ranges::any_of(data.networks,
                          [](const ReportNetwork& network) { return !network.curve.empty(); })) {
    html += Plot("curves", "Learning curves of full trainings",
                 "Accuracy on the test images after each epoch.");
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

std::string TrialTable(const ReportData& data) {
  if (data.trials.empty()) return Section("Trials", "None yet.", "");
  std::string html =
      "<section><h2>Trials</h2>\n<div class=\"tools\"><input type=\"search\" id=\"filter\" hidden "
      "placeholder=\"filter: "
      "stage2.kernel=5 latency<0.3 fail …\" aria-label=\"filter trials\"><span class=\"muted\" "
      "id=\"shown\" role=\"status\"></span></div>\n<div id=\"trial\" "
      "hidden></div>\n<div class=\"scroll rows\" id=\"rows\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"trials\"><table id=\"trials\"><thead><tr>";
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

}  // namespace lathe::report
