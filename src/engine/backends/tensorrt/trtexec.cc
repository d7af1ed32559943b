#include "engine/backends/tensorrt/trtexec.h"

#include <fmt/ranges.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "engine/timing.h"

namespace lathe::engine {
namespace {

using nlohmann::json;

// What goes into an error message: of the last lines the end, without what would upset a terminal.
std::string LastLines(const std::string& text, int lines) {
  constexpr size_t kMost = 2000;
  size_t begin = text.size();
  for (int i = 0; i <= lines && begin != std::string::npos && begin > 0; ++i) {
    begin = text.rfind('\n', begin - 1);
  }
  begin = begin == std::string::npos ? 0 : std::min(begin + 1, text.size());
  begin = std::max(begin, text.size() - std::min(kMost, text.size()));
  std::string last = text.substr(begin);
  for (char& c : last) {
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0 && c != '\n' && c != '\t') c = '?';
  }
  return last.empty() ? "(nothing)" : last;
}

// Parses a list of objects and hands each to `read`; what does not fit is an Error naming the file.
// That includes numbers that overflowed: trtexec prints them as "nan" and "inf", which is no JSON.
template <typename Read>
void ForEachObject(const fs::path& path, Read read) {
  const std::string text = ReadFile(path);
  if (text.empty()) throw Error(ErrorKind::kInput, "{}: is empty", path.string());
  size_t index = 0;
  try {
    const json document = json::parse(text);
    if (!document.is_array()) throw Error(ErrorKind::kInput, "not a list");
    for (const json& object : document) {
      ++index;
      if (!object.is_object()) throw Error(ErrorKind::kInput, "not an object");
      read(object);
    }
  } catch (const std::exception& e) {
    const std::string where = index > 0 ? fmt::format("entry {}: ", index) : "";
    throw Error(ErrorKind::kInput, "{}: not what trtexec writes: {}{}", path.string(), where,
                e.what());
  }
}

// The time called `key`, ms in the file and us returned: a number of at least 0.
double TimeUs(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw Error(ErrorKind::kInput, "no '{}' in it", key);
  const double ms = found->is_number() ? found->get<double>() : -1;
  if (!std::isfinite(ms) || ms < 0) {
    throw Error(ErrorKind::kInput, "'{}' is {}, no time", key, found->dump());
  }
  return ms * 1e3;
}

bool IsEmpty(const fs::path& path) {
  std::error_code error;
  return fs::file_size(path, error) == 0 || error;
}

// Why the call went wrong, if it did.
std::string Failure(const TrtexecCall& call, const ProcessExit& exit) {
  if (exit.code != 0) return fmt::format("trtexec failed ({})", exit.Describe());
  for (const fs::path& path : call.writes) {
    if (!IsEmpty(path)) continue;
    return fmt::format("trtexec ended with exit code 0 but {} {}",
                       fs::exists(path) ? "left this file empty:" : "did not write", path.string());
  }
  return "";
}

ProcessExit WaitFor(pid_t process) {
  while (true) {
    if (const std::optional<ProcessExit> exit = PollProcess(process)) return *exit;
    if (StopRequested()) {
      SignalProcessGroup(process, SIGKILL);
      throw Error(ErrorKind::kInterrupted, "stopped while trtexec was running");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
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

std::string TrtexecRun::Describe() const {
  constexpr int kLines = 12;
  return fmt::format("  command: {}\n  its last lines:\n{}", command, LastLines(log, kLines));
}

TrtexecRun RunTrtexec(const WorkFolder& folder, const TrtexecCall& call) {
  for (const fs::path& path : call.reads) {
    if (!IsEmpty(path)) continue;
    throw Error(ErrorKind::kInternal, "{} is missing or empty; was {} cleaned up meanwhile?",
                path.string(), folder.path().string());
  }
  // A file of an earlier call must not pass for one of this.
  for (const fs::path& path : call.writes) {
    std::error_code error;
    fs::remove(path, error);
    if (error) throw Error(ErrorKind::kIo, "{}: {}", path.string(), error.message());
  }
  ProcessOptions options;
  options.argv = {"trtexec"};
  options.argv.insert(options.argv.end(), call.arguments.begin(), call.arguments.end());
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
  const ProcessExit exit = WaitFor(process);
  const TrtexecRun run{.command = fmt::format("{}", fmt::join(options.argv, " ")),
                       .log = ReadFile(options.log_file)};
  if (const std::string failure = Failure(call, exit); !failure.empty()) {
    throw Error(ErrorKind::kInternal, "{}\n{}", failure, run.Describe());
  }
  return run;
}

std::vector<double> ReadTimes(const fs::path& path) {
  std::vector<double> times_us;
  ForEachObject(path, [&](const json& run) {
    const double time_us = TimeUs(run, run.contains("computeMs") ? "computeMs" : "latencyMs");
    if (time_us == 0) throw Error(ErrorKind::kInput, "a run took no time");
    if (run.contains("startComputeMs") && TimeUs(run, "startComputeMs") < kWarmUpMs * 1e3) return;
    times_us.push_back(time_us);
  });
  if (times_us.empty()) {
    throw Error(ErrorKind::kInput, "{}: no runs in it after the warm-up", path.string());
  }
  return times_us;
}

std::vector<NodeTime> ReadNodeTimes(const fs::path& path) {
  std::vector<NodeTime> nodes;
  ForEachObject(path, [&](const json& node) {
    if (node.contains("count")) return;  // the head: number of runs
    // TensorRT before 8.2 has averages only.
    const char* time = node.contains("medianMs") ? "medianMs" : "averageMs";
    nodes.push_back({node.at("name").get<std::string>(), TimeUs(node, time)});
  });
  if (nodes.empty()) throw Error(ErrorKind::kInput, "{}: no nodes in it", path.string());
  return nodes;
}

std::vector<LayerTime> ReadProfile(const fs::path& path, const net::Graph& graph) {
  const std::vector<NodeTime> nodes = ReadNodeTimes(path);
  std::vector<std::string> names;
  for (const NodeTime& node : nodes) names.push_back(node.name);
  const std::vector<int> indices = AssignNodes(names, graph);
  std::vector<double> node_us(graph.nodes.size());
  std::set<int> shown;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto index = static_cast<size_t>(indices[i]);
    node_us[index] += nodes[i].median_us;
    shown.insert(graph.nodes[index].layer);
  }
  std::map<int, LayerTime> times;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const int layer = graph.nodes[i].layer;
    if (!shown.contains(layer)) continue;
    times[layer].layer = layer;
    times[layer].median_us += node_us[i];
    times[layer].node_us.push_back(node_us[i]);
  }
  std::vector<LayerTime> result;
  for (auto& [layer, time] : times) {
    if (time.median_us == 0) {
      throw Error(ErrorKind::kInput, "{}: layer {} took no time", path.string(), layer);
    }
    result.push_back(std::move(time));
  }
  return result;
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
