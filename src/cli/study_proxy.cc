#include "cli/study_proxy.h"

#include <charconv>

#include "base/log.h"
#include "base/table.h"
#include "cli/finalists.h"
#include "study/proxy.h"

namespace lathe::cli {
namespace {

using study::Agreement;

// Of "trial 17"; nullopt for other origins.
std::optional<int64_t> TrialOf(const std::string& origin) {
  constexpr std::string_view kTrial = "trial ";
  int64_t number = 0;
  if (!origin.starts_with(kTrial)) return {};
  const auto [end, error] =
      std::from_chars(origin.data() + kTrial.size(), origin.data() + origin.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

// Validation accuracy of the trials and test accuracy of the finalists that came of them.
Agreement FullTraining(const std::vector<study::TrialRecord>& trials, const FinalistTable& table) {
  std::vector<double> early, late;
  for (const FinalistRow& row : table.rows) {
    const std::optional<int64_t> number = TrialOf(row.origin);
    if (!number || row.images == 0) continue;  // a baseline, or not trained
    for (const study::TrialRecord& trial : trials) {
      if (trial.number != *number || !trial.metrics.contains("accuracy")) continue;
      early.push_back(trial.Metric("accuracy"));
      late.push_back(row.accuracy);
    }
  }
  return study::AgreementOf(early, late);
}

std::string TextOf(const Agreement& agreement) {
  if (agreement.spearman) return fmt::format("{:.3f}", *agreement.spearman);
  return agreement.networks < study::kFewestForProxy
             ? fmt::format("too few, {} are needed", study::kFewestForProxy)
             : "none, all are the same";
}

nlohmann::ordered_json JsonOf(const Agreement& agreement) {
  return {
      {"networks", agreement.networks},
      {"spearman", agreement.spearman ? nlohmann::json(*agreement.spearman) : nlohmann::json()}};
}

}  // namespace

int CheckProxy(const Globals& globals, const std::filesystem::path& folder) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  const std::vector<study::TrialRecord> trials = store.Trials();
  const std::map<int, Agreement> epochs = study::EpochAgreements(store.Calls(), trials);
  const Agreement full = FullTraining(trials, ReadFinalists(folder));
  if (globals.json) {
    nlohmann::ordered_json json = {{"epochs", nlohmann::ordered_json::array()},
                                   {"full_training", JsonOf(full)}};
    for (const auto& [epoch, agreement] : epochs) {
      json["epochs"].push_back({{"epoch", epoch}});
      json["epochs"].back().update(JsonOf(agreement));
    }
    PrintJson(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {
      {"short training", "long training", "networks", "rank correlation"}};
  for (const auto& [epoch, agreement] : epochs) {
    rows.push_back({fmt::format("trial, after epoch {}", epoch), "trial, at its end",
                    std::to_string(agreement.networks), TextOf(agreement)});
  }
  rows.push_back({"trial, at its end", "finalist", std::to_string(full.networks), TextOf(full)});
  std::string text = FormatTable(rows);
  if (epochs.empty()) {
    text +=
        "No complete trial reported before its end; with epochs of 2 or more in [trial] they do.\n";
  }
  PrintText(text);
  return 0;
}

}  // namespace lathe::cli
