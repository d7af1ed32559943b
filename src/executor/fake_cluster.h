// A cluster without machines, for tests of the controller at a size that no test machine has. Its
// jobs last real time and outlive the controller, as Slurm's do: what they are is in a log file,
// and whether one has ended is a matter of the clock. Its file system is unkind: results come late,
// torn, or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "study/trial.h"

namespace lathe::executor {

struct FakeClusterOptions {
  std::filesystem::path
      log;  // of the cluster; a new executor with the same log is the same cluster
  int slots = 1000;
  double seconds = 10;  // a job's mean; each lasts half to one and a half times as long
  // Shares of the starts whose result is half written, comes a second after the end, never comes,
  // or that save and ask to be continued.
  double torn = 0, late = 0, dead = 0, continued = 0;
  uint64_t seed = 1;
  // Result metrics of the trial in a folder.
  std::function<std::map<std::string, double>(const std::filesystem::path& folder)> train;
};
std::unique_ptr<study::Executor> MakeFakeCluster(const FakeClusterOptions& options);

// A job as its cluster's log has it; times in seconds since the first submission.
struct FakeJob {
  int64_t trial = 0;
  double start = 0, end = 0;
};
std::vector<FakeJob> ReadFakeCluster(const std::filesystem::path& log);

}  // namespace lathe::executor
