// Runs `trtexec` and reads the files it writes. Internal to this back end. Nothing it writes is
// taken on trust: what is missing, cut off or no sensible number is an error that names the file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "net/graph.h"

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

struct TrtexecCall {
  std::vector<std::string> arguments = {};
  std::vector<std::filesystem::path> reads = {};   // must be there
  std::vector<std::filesystem::path> writes = {};  // removed before, must be there after
};

// A call that ended well.
struct TrtexecRun {
  std::string command;
  std::string log;               // all it printed
  std::string Describe() const;  // the command and the last lines, for error messages
};

// Blocks until trtexec ends. Throws kUnavailable when there is none on PATH, kInterrupted when a
// stop is requested, kInternal with the command, its end and its last lines when it fails or leaves
// a file of `writes` missing or empty.
TrtexecRun RunTrtexec(const WorkFolder& folder, const TrtexecCall& call);

// Calls `read`; what it finds wrong is then an error of that run.
template <typename Read>
auto ReadResult(const TrtexecRun& run, Read read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(ErrorKind::kInternal, "{}\n{}", error.what(), run.Describe());
  }
}

// The readers below throw kInput naming the file and the entry.

// Runs of trtexec warm up for this long, and their file of times begins with the warm-up.
inline constexpr int kWarmUpMs = 200;
// --exportTimes: time on the GPU of every run after the warm-up, us: what trtexec itself summarises
// as GPU Compute Time. Files without it (before TensorRT 8) have the latency, which is the same
// when nothing is copied.
std::vector<double> ReadTimes(const std::filesystem::path& path);
// --exportProfile: median time per layer of the network behind `graph` and per node of each; the
// file has no spread, so that is 0. TensorRT's nodes that name none of ours count for a neighbour,
// those that name several for the first.
std::vector<LayerTime> ReadProfile(const std::filesystem::path& path, const net::Graph& graph);
// The same by TensorRT's own names, in order of execution. Single nodes may take no time.
struct NodeTime {
  std::string name;
  double median_us = 0;
};
std::vector<NodeTime> ReadNodeTimes(const std::filesystem::path& path);
// --exportOutput: the values of the output called `name`.
std::vector<float> ReadOutput(const std::filesystem::path& path, const std::string& name);

}  // namespace lathe::engine
