// Runs `trtexec` and reads the files it writes. Internal to this back end.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace lathe::engine {

// A folder of its own under the system's temporary one, removed on destruction.
class WorkFolder {
 public:
  WorkFolder();
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Blocks until trtexec ends and returns what it printed. Throws kUnavailable when there is none on
// PATH, kInterrupted when a stop is requested, kInternal with its last lines when it fails.
std::string RunTrtexec(const WorkFolder& folder, const std::vector<std::string>& arguments);

// --exportTimes: latency of every run, us.
std::vector<double> ReadTimes(const std::filesystem::path& path);
// --exportProfile: median time per layer, summed over the nodes of each; the file has no spread, so
// that is 0. Nodes that name no layer count for a neighbour.
std::vector<LayerTime> ReadProfile(const std::filesystem::path& path);
// The same by TensorRT's own names, in order of execution.
struct NodeTime {
  std::string name;
  double median_us = 0;
};
std::vector<NodeTime> ReadNodeTimes(const std::filesystem::path& path);
// --exportOutput: the values of the output called `name`.
std::vector<float> ReadOutput(const std::filesystem::path& path, const std::string& name);

}  // namespace lathe::engine
