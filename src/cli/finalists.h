// The last stages of a search: the ranked candidates are measured end to end, trained fully beside
// the zoo baselines that fit the same budget, exported, verified in the engine and packaged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/search_job.h"

namespace lathe::cli {

// The network in one precision beside others, timed in turns.
struct PrecisionRow {
  std::string precision, file;  // "int8", "model-int8.onnx"
  double median_us = 0, accuracy = 0, agreement = 0;
};

// One fully trained network: a line of the final table, kept in finalists.json.
struct FinalistRow {
  std::string name;    // "finalist 01", "mobilenet_v2@28x0.50"
  std::string kind;    // "finalist" or "baseline"
  std::string origin;  // "trial 17", "zoo"
  std::string
      path;  // package of a finalist, training folder of a baseline; relative to the study's folder
  std::string training;          // folder it was trained in, likewise
  double accuracy = 0;           // test set, of the trained model
  double accuracy_exported = 0;  // test set, of the target's file in the engine
  int64_t images = 0, disagreements = 0;
  double lut_us = 0, measured_us = 0, p10_us = 0, p90_us = 0;
  int64_t params = 0, macs = 0;
  std::vector<PrecisionRow> precisions;
  bool meets_target = false;
  std::string problem;  // why it is not a finalist, or did not train; empty: none
};

struct FinalistTable {
  double latency_budget_us = 0, accuracy_target = 0;
  std::vector<FinalistRow> rows;                         // finalists first, best first
  std::vector<std::pair<double, double>> latency_check;  // predicted, measured before training (us)
  std::vector<std::pair<std::string, std::string>>
      left_out;  // baseline, why it is not in the table
  bool AnyMeetsTarget() const;
};

FinalistTable MakeFinalists(const StudyContext& context, study::Store& store,
                            const study::SubspaceSource& source,
                            const latency::Estimator& estimator);

nlohmann::ordered_json ToJson(const FinalistTable& table);
FinalistTable ReadFinalists(
    const std::filesystem::path& study_folder);  // empty table when there are none yet
std::string ToText(const FinalistTable& table, const std::filesystem::path& study_folder);

}  // namespace lathe::cli
