// report.html: one self-contained page of a study, readable offline. Plots by an embedded library;
// every string from outside is escaped.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lathe::report {

struct ReportTrial {
  int64_t number = 0;
  std::string state;  // "COMPLETE", "FAIL", ...
  double latency_us = 0, loss = 0, accuracy = 0, value = 0, params = 0, macs = 0, seconds = 0;
  std::string note;  // failure reason
  std::vector<int> encoding;
};

// A fully trained network: finalist or baseline.
struct ReportNetwork {
  std::string name;  // "finalist 01", "mobilenet_v2@28x0.5"
  bool finalist = false;
  bool meets_target = false;
  double accuracy = 0, accuracy_low = 0, accuracy_high = 0;  // test set, 95 % interval
  double lut_us = 0, measured_us = 0, measured_p10_us = 0, measured_p90_us = 0;
  double params = 0, macs = 0;
  std::string path;                 // relative to the report
  std::vector<std::string> layers;  // one short line per layer, for the drawing
  std::vector<double> curve;        // accuracy per epoch
};

struct ReportData {
  std::string title;
  double latency_budget_us = 0, subspace_low_us = 0, subspace_high_us = 0, accuracy_target = 0;
  std::vector<std::string> genes;
  std::vector<ReportTrial> trials;
  std::vector<ReportNetwork> networks;
  std::vector<double> edges_us;                      // stage 1
  std::vector<int64_t> bucket_counts;                // Sobol candidates; edges + 1
  std::vector<double> bucket_networks;               // of the whole space, likewise; may be empty
  std::vector<std::pair<double, double>> lut_check;  // predicted, measured end to end (us)
  std::vector<std::pair<std::string, std::string>> provenance;  // label, text
};

void WriteReport(const std::filesystem::path& path, const ReportData& data);
std::string RenderReport(const ReportData& data);

}  // namespace lathe::report
