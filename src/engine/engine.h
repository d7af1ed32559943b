// The inference engine that is deployed and timed. One implementation per folder in backends/; only
// the cli names them. An Engine and its models belong to one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/network.h"
#include "net/weights.h"
#include "onnx/quantize.h"

namespace lathe::engine {

enum class Precision { kF32, kBf16, kF16, kInt8 };
std::string_view Name(Precision precision);
// "f32", "bf16", "f16", "int8"; throws kInput otherwise.
Precision ParsePrecision(std::string_view name);

struct TargetOptions {
  int threads = 1;
  int batch = 1;
  Precision precision = Precision::kF32;
  std::string device = "CPU";
};

// What a latency belongs to. Latencies of different fingerprints are never mixed.
struct Fingerprint {
  std::string engine;  // "openvino"
  std::string engine_version;
  std::string device;       // "CPU"
  std::string device_name;  // "AMD EPYC ..."
  TargetOptions options;
  bool operator==(const Fingerprint&) const;
  std::map<std::string, std::string> Fields() const;  // flat, for files and error messages
};

struct TimingOptions {
  int warmup = 10;
  int min_runs = 50;
  double min_seconds = 0.2;  // runs until both are reached
};

struct Timing {
  double median_us = 0, p10_us = 0, p90_us = 0;
  int runs = 0;
  double Spread() const { return (p90_us - p10_us) / median_us; }
};

// Time of one layer inside the running network.
struct LayerTime {
  int layer = 0;  // index into Network::layers
  double median_us = 0;
  double spread = 0;  // (p90 - p10) / median over the runs
  // The same by node of net::LowerLayer, 0 for those fused into another; empty where the engine
  // cannot tell its nodes apart.
  std::vector<double> node_us;
};

class CompiledModel {
 public:
  virtual ~CompiledModel() = default;
  // Images NCHW float32, `count` of them packed; returns logits [count x classes]. Any count: split
  // into batches inside. For a file that takes pixels (onnx/export.h): NHWC, whole numbers 0 to
  // 255.
  virtual std::vector<float> Run(std::span<const float> images, int count) = 0;
  // End-to-end latency of one inference of one batch, wall clock, blocking.
  virtual Timing Time(const TimingOptions& options) = 0;
  // In-place time per layer from the engine's own profiler. Needs CompileOptions::profile. Layers
  // whose nodes were fused away entirely are absent; the sum over layers is the network's time
  // without per-inference overhead.
  virtual std::vector<LayerTime> Profile(const TimingOptions& options) = 0;
};

struct CompileOptions {
  bool profile = false;
  // For precision int8. Without it ranges are guessed: the time is right, the logits are not.
  std::optional<onnx::Quantization> quantization = {};
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual Fingerprint Target() const = 0;
  virtual std::unique_ptr<CompiledModel> Compile(const net::Network& network,
                                                 const net::Weights& weights,
                                                 const CompileOptions& options) = 0;
  // Whether Load() is available.
  virtual bool LoadsFiles() const { return true; }
  // The exported file itself, as a user would deploy it. Profile() is not available on it.
  virtual std::unique_ptr<CompiledModel> Load(const std::string& onnx_path) = 0;
};

}  // namespace lathe::engine
