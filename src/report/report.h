// report.html: one self-contained page of a study, readable offline. Plots by an embedded library;
// every string from outside is escaped.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/network.h"

namespace lathe::report {

struct ReportTrial {
  int64_t number = 0;
  std::string state;  // "COMPLETE", "FAIL", ...
  double latency_us = 0, loss = 0, accuracy = 0, value = 0, params = 0, macs = 0, seconds = 0;
  std::string note;  // failure reason
  std::vector<int> encoding;

  bool Complete() const { return state == "COMPLETE"; }
};

// The objective of a trial after its epochs.
struct ReportCurve {
  int64_t trial = 0;
  std::string state;
  std::vector<std::pair<int, double>> points;  // epoch, objective
};

// A network's file as it ran in the engine in one precision.
struct ReportPrecision {
  std::string name, file;
  double measured_us = 0, accuracy = 0;
};

// A fully trained network: finalist or baseline.
struct ReportNetwork {
  std::string name;  // "finalist 01", "mobilenet_v2@28x0.5"
  bool finalist = false;
  bool meets_target = false;
  double accuracy = 0, accuracy_low = 0, accuracy_high = 0;  // test set, 95 % interval
  double lut_us = 0, measured_us = 0, measured_p10_us = 0, measured_p90_us = 0;
  double params = 0, macs = 0;
  std::string path;                     // relative to the report
  std::vector<std::string> files = {};  // what can be downloaded there
  std::optional<net::Network> network = {};
  std::vector<double> layer_us = {};             // by the LUT; empty: not known
  std::vector<double> curve = {};                // accuracy per epoch
  std::vector<ReportPrecision> precisions = {};  // the target's first
};

struct ReportData {
  std::string title;
  double latency_budget_us = 0, subspace_low_us = 0, subspace_high_us = 0, accuracy_target = 0;
  std::string objective;  // in words
  std::vector<std::string> genes;
  std::vector<ReportTrial> trials;
  std::vector<ReportCurve> curves;  // of some trials
  std::vector<ReportNetwork> networks;
  std::vector<double> edges_us;                      // stage 1
  std::vector<int64_t> bucket_counts;                // Sobol candidates; edges + 1
  std::vector<double> bucket_networks;               // of the whole space, likewise; may be empty
  std::vector<std::pair<double, double>> lut_check;  // predicted, measured end to end (us)
  std::vector<std::pair<std::string, std::string>> provenance;  // label, text
};

enum class PageKind {
  kFile,  // asks for nothing
  kLive   // asks the server it came from for what is new (server.h)
};

void WriteReport(const std::filesystem::path& path, const ReportData& data);
std::string RenderReport(const ReportData& data, PageKind kind = PageKind::kFile);

// Indices of the completed trials on the accuracy-latency front, the fastest first.
std::vector<size_t> FrontOf(const std::vector<ReportTrial>& trials);

}  // namespace lathe::report
