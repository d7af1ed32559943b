#include "study/warm_start.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/csv.h"
#include "base/error.h"
#include "base/file.h"
#include "net/network_file.h"

namespace lathe::study {
namespace {

[[noreturn]] void FailSource(const fs::path& source, std::string_view what) {
  throw Error(ErrorKind::kInput, "[search] warm_start: {}: {}", source.string(), what);
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The first line in which two tables written by the same program differ; "" if none does.
std::string DifferenceOf(const std::string& there, const std::string& here) {
  const std::vector<std::string> a = Lines(there), b = Lines(here);
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string left = i < a.size() ? a[i] : "nothing",
                      right = i < b.size() ? b[i] : "nothing";
    if (left != right) return fmt::format("{} there, {} here", left, right);
  }
  return "";
}

std::string DifferenceOf(const StudyConfig& there, const StudyConfig& here) {
  if (const std::string data = DifferenceOf(data::ToToml(there.data), data::ToToml(here.data));
      !data.empty()) {
    return "[data] " + data;
  }
  if (const std::string evaluator = DifferenceOf(ToToml(there.evaluator), ToToml(here.evaluator));
      !evaluator.empty()) {
    return "[evaluator] " + evaluator;
  }
  const std::string recipe =
      DifferenceOf(train::ToToml(there.trial_recipe), train::ToToml(here.trial_recipe));
  return recipe.empty() ? "" : "[trial] " + recipe;
}

void CheckGenes(const fs::path& source, const Store& store, const space::SearchSpace& space) {
  std::vector<std::string> theirs, ours;
  for (const Parameter& parameter : store.parameters()) theirs.push_back(parameter.name);
  for (const space::Gene& gene : space.genes()) ours.push_back(gene.name);
  for (size_t i = 0; i < std::max(theirs.size(), ours.size()); ++i) {
    const std::string left = i < theirs.size() ? theirs[i] : "none";
    const std::string right = i < ours.size() ? ours[i] : "none";
    if (left == right) continue;
    FailSource(source, fmt::format("is a study of another space: its gene {} is {}, here {}", i + 1,
                                   left, right));
  }
}

// The same genes may stand for other networks, in a space with other fixed values.
void CheckNetwork(const fs::path& source, const TrialRecord& trial,
                  const space::SearchSpace& space) {
  const fs::path file = source / "trials" / TrialFolderName(trial.number) / "network.json";
  std::error_code missing;
  if (!fs::exists(file, missing)) return;
  const net::Network theirs = net::ReadNetwork(file);
  const net::Network ours =
      space.Decode(trial.encoding, {.channels = theirs.input.c, .classes = theirs.num_classes()});
  if (theirs.input == ours.input && theirs.layers == ours.layers) return;
  FailSource(source,
             fmt::format("is a study of another space: its trial {} is another network than "
                         "the same encoding is here",
                         trial.number));
}

void NoteOutside(EarlierResults& results, const std::string& why) {
  if (results.outside++ == 0) results.first_outside = why;
}

EarlierResults ReadStudy(const fs::path& folder, const StudyConfig& config,
                         const space::SearchSpace& space) {
  const Store store = Store::OpenReadOnly(folder / "study.db");
  CheckGenes(folder, store, space);
  EarlierResults results{.source = folder.string()};
  results.difference = DifferenceOf(LoadStudy(folder / "study.toml"), config);
  bool checked = false;
  for (const TrialRecord& trial : store.Trials()) {
    if (trial.state != TrialState::kComplete) continue;
    const std::string origin = fmt::format("trial {} of {}", trial.number, folder.string());
    if (!space.Contains(trial.encoding)) {
      NoteOutside(results, origin);
      continue;
    }
    if (!std::exchange(checked, true)) CheckNetwork(folder, trial, space);
    results.trials.push_back(
        {.encoding = space.Canonical(trial.encoding), .metrics = trial.metrics, .origin = origin});
  }
  return results;
}

// As an integer, as encodings are written, or in words.
int ChoiceOf(const space::Gene& gene, const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool integer = error == std::errc() && end == text.data() + text.size();
  if (integer && std::ranges::binary_search(gene.choices, value)) return value;
  return space::ParseChoice(gene, text);
}

EarlierResults ReadTable(const fs::path& file, const StudyConfig& config,
                         const space::SearchSpace& space) {
  const Csv csv = Csv::Parse(ReadFile(file), file.string());
  csv.Column(std::string(config.objective.metric()));
  std::vector<size_t> genes;
  for (const space::Gene& gene : space.genes()) genes.push_back(csv.Column(gene.name));
  EarlierResults results{.source = file.string()};
  for (size_t row = 0; row < csv.rows.size(); ++row) {
    EarlierTrial trial;
    trial.origin = fmt::format("{}:{}", file.string(), csv.lines[row]);
    try {
      for (size_t i = 0; i < genes.size(); ++i) {
        trial.encoding.push_back(ChoiceOf(space.genes()[i], csv.rows[row][genes[i]]));
      }
    } catch (const Error& error) {
      NoteOutside(results, fmt::format("{}: {}", trial.origin, error.what()));
      continue;
    }
    for (const char* metric : {"loss", "accuracy"}) {
      const std::optional<size_t> column = csv.Find(metric);
      if (!column) continue;
      if (const auto number = ParseNumber(csv.rows[row][*column])) trial.metrics[metric] = *number;
    }
    trial.encoding = space.Canonical(trial.encoding);
    results.trials.push_back(std::move(trial));
  }
  return results;
}

std::optional<double> ObjectiveOf(const EarlierTrial& trial, const WarmStartOptions& options) {
  const auto metric = trial.metrics.find(std::string(options.objective.metric()));
  if (metric == trial.metrics.end()) return {};
  const double value =
      options.objective.Of(metric->second, options.describe(trial.encoding).latency_us);
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

// "3 outside the sub-space, 1 known already", or "" when nothing was left out.
class LeftOut {
 public:
  void Add(size_t count, std::string_view why) {
    if (count > 0) text_ += fmt::format("{}{} {}", text_.empty() ? "" : ", ", count, why);
  }
  std::string Text() const { return text_.empty() ? "" : "; left out: " + text_; }

 private:
  std::string text_;
};

}  // namespace

EarlierResults ReadEarlier(const fs::path& source, const StudyConfig& config,
                           const space::SearchSpace& space) {
  EarlierResults results;
  if (fs::exists(source / "study.db")) {
    results = ReadStudy(source, config, space);
  } else if (fs::is_regular_file(source)) {
    results = ReadTable(source, config, space);
  } else {
    FailSource(source, "neither the folder of a study (it has no study.db) nor a CSV file");
  }
  if (results.trials.empty()) {
    FailSource(source, results.outside > 0
                           ? fmt::format("none of its {} results is of space '{}'; the first: {}",
                                         results.outside, space.name(), results.first_outside)
                           : "no trial of it is complete");
  }
  return results;
}

WarmStart PlanWarmStart(const std::vector<EarlierResults>& earlier,
                        std::set<std::vector<int>> known, const WarmStartOptions& options) {
  WarmStart plan;
  for (const EarlierResults& results : earlier) {
    size_t outside_subspace = 0, repeated = 0, without_value = 0;
    std::vector<std::pair<double, const EarlierTrial*>> usable;
    std::set<std::vector<int>> seen = known;
    for (const EarlierTrial& trial : results.trials) {
      const bool inside = options.in_subspace(trial.encoding);
      const std::optional<double> value = inside ? ObjectiveOf(trial, options) : std::nullopt;
      if (!inside) {
        ++outside_subspace;
      } else if (!value) {
        ++without_value;
      } else if (!seen.insert(trial.encoding).second) {
        ++repeated;
      } else {
        usable.emplace_back(*value, &trial);
      }
    }
    LeftOut left_out;
    left_out.Add(results.outside, "outside the space");
    left_out.Add(outside_subspace, "outside the sub-space");
    left_out.Add(without_value, "without a result");
    left_out.Add(repeated, "known already");
    if (results.difference.empty()) {
      for (const auto& [value, trial] : usable) {
        plan.imported.push_back(*trial);
        known.insert(trial->encoding);
      }
      plan.notes.push_back(
          fmt::format("{}: {} results imported{}", results.source, usable.size(), left_out.Text()));
      continue;
    }
    std::ranges::stable_sort(usable, {}, &decltype(usable)::value_type::first);
    usable.resize(std::min(usable.size(), static_cast<size_t>(options.best)));
    for (const auto& [value, trial] : usable) {
      plan.queue.push_back(trial->encoding);
      known.insert(trial->encoding);
    }
    plan.notes.push_back(fmt::format(
        "{}: its results cannot be compared ({}), so none is imported; its best {} networks are "
        "trained first{}",
        results.source, results.difference, usable.size(), left_out.Text()));
  }
  return plan;
}

TrialRecord ImportedTrial(int64_t number, const EarlierTrial& earlier,
                          const ControllerOptions& options, const ControllerHooks& hooks) {
  TrialRecord trial = NewTrial(number, hooks.candidate(earlier.encoding), options, hooks);
  trial.state = TrialState::kComplete;
  trial.metrics.merge(std::map(earlier.metrics));
  trial.value = options.objective.Of(earlier.metrics.at(std::string(options.objective.metric())),
                                     trial.latency_us);
  trial.imported_from = earlier.origin;
  return trial;
}

}  // namespace lathe::study
