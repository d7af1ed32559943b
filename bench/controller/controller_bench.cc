// A controller with a fake cluster of any size: what it costs, how busy it keeps the workers, and
// whether anything is lost when it is killed again and again. Prints JSON.
#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "executor/fault_injection_testing.h"

int main(int argc, char** argv) {
  lathe::executor::FaultOptions options;
  options.trials = 20000;
  options.workers = 1000;
  options.kills = 200;
  options.seconds = 60;
  CLI::App app("A search on a fake cluster whose controller is killed again and again");
  app.add_option("folder", options.folder, "Folder for the study; must not exist")->required();
  app.add_option("--trials", options.trials)->capture_default_str();
  app.add_option("--workers", options.workers)->capture_default_str();
  app.add_option("--kills", options.kills, "SIGKILLs of the controller")->capture_default_str();
  app.add_option("--seconds", options.seconds, "Mean length of a trial")->capture_default_str();
  app.add_option("--proposer", options.proposer)->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::err);  // faults are what this is about
  const lathe::executor::FaultReport report = lathe::executor::RunWithFaults(options);
  nlohmann::ordered_json json = {{"killed", report.killed},
                                 {"mistakes", report.mistakes},
                                 {"starts", report.starts},
                                 {"seconds", report.seconds},
                                 {"utilisation", report.utilisation},
                                 {"cpu_seconds", report.cpu_seconds},
                                 {"cores", report.cpu_seconds / report.seconds},
                                 {"peak_mib", report.peak_bytes / (1 << 20)}};
  for (const lathe::executor::CostSample& sample : report.costs)
    json["costs"].push_back({{"trials", sample.trials}, {"cpu_seconds", sample.cpu_seconds}});
  std::printf("%s\n", json.dump(2).c_str());
  return report.mistakes.empty() ? 0 : 1;
}
