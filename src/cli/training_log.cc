#include "cli/training_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"

namespace lathe::cli {
namespace {

// Written whole, since it is small and then never half.
void WriteCsv(const fs::path& folder, const std::vector<study::MetricLine>& lines) {
  std::string text = "epoch";
  for (const auto& [name, value] : lines[0].values) text += "," + name;
  text += '\n';
  for (const study::MetricLine& line : lines) {
    text += std::to_string(line.step);
    for (const auto& [name, ignored] : lines[0].values) {
      const auto found = line.values.find(name);
      text += found != line.values.end() ? fmt::format(",{}", found->second) : ",";
    }
    text += '\n';
  }
  WriteFileAtomically(folder / "metrics.csv", text);
}

}  // namespace

std::vector<std::pair<std::string, double>> ValuesOf(const train::EpochMetrics& epoch) {
  return {{"train_loss", epoch.train_loss},
          {"loss", epoch.loss},
          {"accuracy", epoch.accuracy},
          {"learning_rate", epoch.learning_rate},
          {"images_per_second", epoch.images_per_second},
          {"seconds", epoch.seconds}};
}

TrainingLog::TrainingLog(const fs::path& folder)
    : folder_(folder), lines_(study::ReadMetrics(folder)), events_(folder, "lathe") {}

void TrainingLog::Add(const train::EpochMetrics& epoch) {
  const auto values = ValuesOf(epoch);
  Add({{.step = epoch.epoch, .values = {values.begin(), values.end()}}});
}

void TrainingLog::Add(const std::vector<study::MetricLine>& lines) {
  const size_t before = lines_.size();
  for (const study::MetricLine& line : lines) {
    if (std::ranges::find(lines_, line.step, &study::MetricLine::step) != lines_.end()) continue;
    study::AppendMetrics(folder_, line);
    events_.Add(line.step, UnixSeconds(), line.values);
    lines_.push_back(line);
  }
  if (lines_.size() > before) WriteCsv(folder_, lines_);
}

}  // namespace lathe::cli
