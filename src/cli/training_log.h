// What a training leaves behind, epoch by epoch, in its folder: metrics.jsonl, metrics.csv and a
// TensorBoard event file. One thread at a time.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "report/event_file.h"
#include "study/trial.h"
#include "train/trainer.h"

namespace lathe::cli {

// Everything an epoch is judged by, by name and in the order of reading.
std::vector<std::pair<std::string, double>> ValuesOf(const train::EpochMetrics& epoch);

class TrainingLog {
 public:
  // Continues what a stopped training has left in `folder`.
  explicit TrainingLog(const std::filesystem::path& folder);
  // An epoch that is there already (a restart repeats at most the one it
  // died in) is not added again.
  void Add(const train::EpochMetrics& epoch);
  void Add(const std::vector<study::MetricLine>& lines);

 private:
  const std::filesystem::path folder_;
  std::vector<study::MetricLine> lines_;
  report::EventFile events_;
};

}  // namespace lathe::cli
