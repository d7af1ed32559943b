#include "engine/backends/tensorrt/tensorrt_engine.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "engine/backends/tensorrt/trtexec.h"
#include "engine/timing.h"
#include "net/network_file.h"
#include "onnx/export.h"

namespace lathe::engine {
namespace {

std::vector<std::string> PrecisionFlags(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return {"--noTF32"};
    case Precision::kBf16:
      return {"--bf16"};
    case Precision::kF16:
      return {"--fp16"};
    case Precision::kInt8:
      return {"--int8", "--fp16"};  // layers without QDQ nodes run in f16
  }
  throw Error(ErrorKind::kInternal, "unknown precision {}", static_cast<int>(precision));
}

// "--device=1" for "GPU:1".
std::string DeviceFlag(const std::string& device) {
  const std::string_view number = device == "GPU"              ? "0"
                                  : device.starts_with("GPU:") ? std::string_view(device).substr(4)
                                                               : "";
  if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) {
    throw Error(ErrorKind::kUnavailable,
                "engine tensorrt: device '{}' is not available; use 'GPU' or 'GPU:1'", device);
  }
  return "--device=" + std::string(number);
}

// The rest of the line after `key`, up to one of `ends`; "unknown" when the log has no such line.
std::string Field(std::string_view log, std::string_view key, const char* ends) {
  const size_t at = log.find(key);
  if (at == std::string_view::npos) return "unknown";
  const std::string_view rest = log.substr(at + key.size());
  return std::string(rest.substr(0, rest.find_first_of(ends)));
}

class TensorRtModel : public CompiledModel {
 public:
  struct Options {
    bool profile = false;  // allow Profile()
    bool dynamic = false;  // the file's batch is dynamic
  };

  // Builds the plan (minutes for large networks).
  TensorRtModel(const net::Network& network, std::string_view onnx_bytes,
                const TargetOptions& target, const Options& options)
      : input_(network.input),
        classes_(static_cast<size_t>(network.num_classes())),
        target_(target),
        profile_(options.profile) {
    WriteFileAtomically(folder_ / "model.onnx", onnx_bytes);
    std::vector<std::string> arguments = {"--onnx=" + (folder_ / "model.onnx").string(),
                                          "--saveEngine=" + Plan(),
                                          DeviceFlag(target.device),
                                          "--profilingVerbosity=detailed",
                                          "--iterations=1",
                                          "--duration=0"};
    if (options.dynamic) {  // trtexec refuses the flag for a fixed batch
      arguments.push_back(
          fmt::format("--shapes=image:{}x{}x{}x{}", target.batch, input_.c, input_.h, input_.w));
    }
    for (std::string& flag : PrecisionFlags(target.precision)) arguments.push_back(std::move(flag));
    build_log_ = RunTrtexec(folder_, arguments);
  }

  const std::string& build_log() const { return build_log_; }

  std::vector<float> Run(std::span<const float> images, int count) override {
    const size_t size = static_cast<size_t>(input_.c) * static_cast<size_t>(input_.h * input_.w);
    const int batches = BatchCount(images, count, size, target_.batch);
    std::vector<float> logits;
    for (int i = 0; i < batches; ++i) {
      const size_t batch = static_cast<size_t>(target_.batch);
      std::vector<float> input(batch * size);  // a batch that is not full ends in zeros
      const size_t first = static_cast<size_t>(i) * batch * size;
      const auto part = images.subspan(first, std::min(input.size(), images.size() - first));
      std::ranges::copy(part, input.begin());
      const std::vector<float> output = RunBatch(input);
      const size_t used = part.size() / size * classes_;
      logits.insert(logits.end(), output.begin(),
                    output.begin() + static_cast<std::ptrdiff_t>(used));
    }
    return logits;
  }

  Timing Time(const TimingOptions& options) override {
    Measure(options, {"--useCudaGraph", "--exportTimes=" + (folder_ / "times.json").string()});
    return Summarise(ReadTimes(folder_ / "times.json"));
  }

  std::vector<LayerTime> Profile(const TimingOptions& options) override {
    CheckProfiling(profile_);
    Measure(options,
            {"--separateProfileRun", "--exportProfile=" + (folder_ / "profile.json").string()});
    return ReadProfile(folder_ / "profile.json");
  }

 private:
  std::string Plan() const { return (folder_ / "model.plan").string(); }

  void Measure(const TimingOptions& options, std::vector<std::string> arguments) {
    const auto seconds = static_cast<int>(std::ceil(options.min_seconds));  // takes whole ones
    arguments.insert(arguments.end(), {"--loadEngine=" + Plan(), DeviceFlag(target_.device),
                                       "--noDataTransfers", "--useSpinWait", "--warmUp=200",
                                       "--iterations=" + std::to_string(options.min_runs),
                                       "--duration=" + std::to_string(seconds)});
    RunTrtexec(folder_, arguments);
  }

  std::vector<float> RunBatch(std::span<const float> input) {
    const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size_bytes());
    WriteFileAtomically(folder_ / "image.bin", bytes);
    RunTrtexec(folder_, {"--loadEngine=" + Plan(), DeviceFlag(target_.device),
                         "--loadInputs=image:" + (folder_ / "image.bin").string(),
                         "--exportOutput=" + (folder_ / "output.json").string(), "--iterations=1",
                         "--warmUp=0", "--duration=0"});
    std::vector<float> output = ReadOutput(folder_ / "output.json", "logits");
    const size_t expected = static_cast<size_t>(target_.batch) * classes_;
    if (output.size() != expected) {
      throw Error(ErrorKind::kInternal, "trtexec returned {} logits instead of {}", output.size(),
                  expected);
    }
    return output;
  }

  WorkFolder folder_;
  net::Shape input_;
  size_t classes_;
  TargetOptions target_;
  bool profile_;
  std::string build_log_;
};

class TensorRtEngine : public Engine {
 public:
  explicit TensorRtEngine(const TargetOptions& options) : options_(options) {
    net::Network probe;
    probe.name = "probe";
    probe.input = {3, 8, 8};
    probe.layers.push_back(
        {.op = net::Op::kTail, .in = probe.input, .out_channels = 2, .mid_channels = 8});
    const net::Weights weights = net::RandomWeights(net::Lower(probe), 1);
    TargetOptions target = options;
    if (target.precision == Precision::kInt8) target.precision = Precision::kF16;
    const TensorRtModel model(probe, Export(probe, weights), target, {});
    version_ = Field(model.build_log(), "[TensorRT v", "]");
    device_name_ = Field(model.build_log(), "Selected Device: ", "\r\n");
  }

  Fingerprint Target() const override {
    return {.engine = "tensorrt",
            .engine_version = version_,
            .device = options_.device,
            .device_name = device_name_,
            .options = options_};
  }

  std::unique_ptr<CompiledModel> Compile(const net::Network& network, const net::Weights& weights,
                                         const CompileOptions& options) override {
    if (options_.precision == Precision::kInt8) {
      throw Error(ErrorKind::kInput,
                  "engine tensorrt: precision int8 needs a quantised model; load a quantised ONNX "
                  "file, or use f16");
    }
    return std::make_unique<TensorRtModel>(network, Export(network, weights), options_,
                                           TensorRtModel::Options{.profile = options.profile});
  }

  std::unique_ptr<CompiledModel> Load(const std::string& onnx_path) override {
    const std::map<std::string, std::string> metadata = onnx::ReadMetadata(onnx_path);
    const auto json = metadata.find("lathe.network");
    if (json == metadata.end()) {
      throw Error(ErrorKind::kInput,
                  "{}: engine tensorrt reads only files that Lathe exported (their metadata tells "
                  "the shapes)",
                  onnx_path);
    }
    const int batch = onnx::ReadBatch(onnx_path);
    if (batch != 0 && batch != options_.batch) {
      throw Error(ErrorKind::kInput, "{}: made for batch {}, the target's batch is {}", onnx_path,
                  batch, options_.batch);
    }
    return std::make_unique<TensorRtModel>(net::ParseNetwork(json->second, onnx_path),
                                           ReadFile(onnx_path), options_,
                                           TensorRtModel::Options{.dynamic = batch == 0});
  }

 private:
  std::string Export(const net::Network& network, const net::Weights& weights) const {
    return onnx::ToOnnx(network, weights, {.batch = options_.batch});
  }

  TargetOptions options_;
  std::string version_;
  std::string device_name_;
};

}  // namespace

std::unique_ptr<Engine> MakeTensorRtEngine(const TargetOptions& options) {
  CheckTargetOptions(options);
  DeviceFlag(options.device);
  return std::make_unique<TensorRtEngine>(options);
}

}  // namespace lathe::engine
