#include "engine/backends/tensorrt/trtexec.h"

#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "engine/timing.h"

namespace lathe::engine {
namespace {

using nlohmann::json;

std::string LastLines(const std::string& text, int lines) {
  size_t begin = text.size();
  for (int i = 0; i <= lines && begin != std::string::npos && begin > 0; ++i) {
    begin = text.rfind('\n', begin - 1);
  }
  return begin == std::string::npos ? text : text.substr(std::min(begin + 1, text.size()));
}

// Parses a list of objects and hands each to `read`; what does not fit is an Error naming the file.
template <typename Read>
void ForEachObject(const fs::path& path, Read read) {
  const std::string text = ReadFile(path);
  try {
    const json document = json::parse(text);
    if (!document.is_array()) throw Error(ErrorKind::kInput, "not a list");
    for (const json& object : document) read(object);
  } catch (const std::exception& e) {
    throw Error(ErrorKind::kInput, "{}: not what trtexec writes: {}", path.string(), e.what());
  }
}

}  // namespace

WorkFolder::WorkFolder() {
  std::string name = (fs::temp_directory_path() / "lathe-tensorrt-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorKind::kIo, "cannot create a temporary folder {}", name);
  }
  path_ = name;
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string RunTrtexec(const WorkFolder& folder, const std::vector<std::string>& arguments) {
  ProcessOptions options;
  options.argv = {"trtexec"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.log_file = folder / "log.txt";
  fs::remove(options.log_file);
  pid_t process = 0;
  try {
    process = StartProcess(options);
  } catch (const Error& e) {
    throw Error(
        ErrorKind::kUnavailable,
        "engine tensorrt needs NVIDIA's program 'trtexec': install TensorRT and put its bin "
        "folder on PATH (often /usr/src/tensorrt/bin); {}",
        e.what());
  }
  std::optional<ProcessExit> exit;
  while (!(exit = PollProcess(process))) {
    if (StopRequested()) {
      SignalProcessGroup(process, SIGKILL);
      throw Error(ErrorKind::kInterrupted, "stopped while trtexec was running");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string log = ReadFile(options.log_file);
  if (exit->code != 0) {
    throw Error(ErrorKind::kInternal, "trtexec failed ({}); its last lines:\n{}", exit->Describe(),
                LastLines(log, 12));
  }
  return log;
}

std::vector<double> ReadTimes(const fs::path& path) {
  std::vector<double> times_us;
  ForEachObject(
      path, [&](const json& run) { times_us.push_back(run.at("latencyMs").get<double>() * 1e3); });
  if (times_us.empty()) throw Error(ErrorKind::kInput, "{}: no runs in it", path.string());
  return times_us;
}

std::vector<NodeTime> ReadNodeTimes(const fs::path& path) {
  std::vector<NodeTime> nodes;
  ForEachObject(path, [&](const json& node) {
    if (node.contains("count")) return;  // the head: number of runs
    // TensorRT before 8.2 has averages only.
    const char* time = node.contains("medianMs") ? "medianMs" : "averageMs";
    nodes.push_back({node.at("name").get<std::string>(), node.at(time).get<double>() * 1e3});
  });
  return nodes;
}

std::vector<LayerTime> ReadProfile(const fs::path& path) {
  const std::vector<NodeTime> nodes = ReadNodeTimes(path);
  std::vector<std::string> names;
  for (const NodeTime& node : nodes) names.push_back(node.name);
  const std::vector<int> layers = AssignLayers(names);
  std::map<int, double> layer_us;
  for (size_t i = 0; i < nodes.size(); ++i) layer_us[layers[i]] += nodes[i].median_us;
  std::vector<LayerTime> times;
  for (const auto& [layer, time_us] : layer_us) times.push_back({layer, time_us, 0});
  return times;
}

std::vector<float> ReadOutput(const fs::path& path, const std::string& name) {
  std::vector<float> values;
  ForEachObject(path, [&](const json& output) {
    if (output.at("name") == name) values = output.at("values").get<std::vector<float>>();
  });
  if (values.empty()) throw Error(ErrorKind::kInput, "{}: no output '{}'", path.string(), name);
  return values;
}

}  // namespace lathe::engine
