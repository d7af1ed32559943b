#include "engine/backends/tensorrt/tensorrt_engine.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/backends/tensorrt/timing_cache.h"
#include "engine/backends/tensorrt/trtexec.h"
#include "engine/timing.h"
#include "net/network_file.h"
#include "onnx/export.h"
#include "onnx/half.h"

namespace lathe::engine {
namespace {

// What trtexec says about itself and the device.
struct Installation {
  std::string version;  // as it prints it: "8601" for 8.6.1, "101303", "11.1.0.106"
  std::string device_name;

  int Major() const {
    int number = 0;
    const char* const end = version.data() + version.size();
    const auto [rest, error] = std::from_chars(version.data(), end, number);
    if (error == std::errc() && rest != end) return number;
    constexpr int kFirstOfTen = 100000;  // from 10 on, minor versions have two digits
    return number >= kFirstOfTen ? number / 10000 : number / 1000;
  }
  bool HasBf16() const { return Major() >= 9; }
  // From version 11 on, the types to compute in come from the file alone, and trtexec knows no
  // flags for them.
  bool IsStronglyTyped() const { return Major() >= 11; }
};

std::vector<std::string> PrecisionFlags(Precision precision, const Installation& tensorrt) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorKind::kUnavailable,
                "engine tensorrt: precision {} is not available with TensorRT {}; {}",
                Name(precision), tensorrt.version, why);
  };
  if (precision == Precision::kF32) return {"--noTF32"};
  if (tensorrt.IsStronglyTyped()) {
    if (precision == Precision::kBf16) refuse("use f16 or f32, or TensorRT 9 or 10");
    return {};
  }
  if (precision == Precision::kInt8) return {"--int8", "--fp16"};  // f16: layers without QDQ nodes
  if (precision == Precision::kF16) return {"--fp16"};
  if (!tensorrt.HasBf16()) refuse("use f16 or f32, or TensorRT 9 or 10");
  return {"--bf16"};
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

// The rest of the line after `key`, up to one of `ends`; empty when the log has no such line.
std::string Field(std::string_view log, std::string_view key, const char* ends) {
  const size_t at = log.find(key);
  if (at == std::string_view::npos) return "";
  const std::string_view rest = log.substr(at + key.size());
  return std::string(rest.substr(0, rest.find_first_of(ends)));
}

Installation ReadInstallation(const TrtexecRun& run) {
  Installation found{.version = Field(run.log, "[TensorRT v", "]"),
                     .device_name = Field(run.log, "Selected Device: ", "\r\n")};
  const bool version =
      !found.version.empty() && std::isdigit(static_cast<unsigned char>(found.version[0])) != 0;
  if (version && !found.device_name.empty()) return found;
  throw Error(ErrorKind::kUnavailable,
              "engine tensorrt: is the 'trtexec' on PATH NVIDIA's? It built a network but named no "
              "{}\n{}",
              version ? "device" : "version of TensorRT", run.Describe());
}

class TensorRtModel : public CompiledModel {
 public:
  struct Options {
    bool profile = false;  // allow Profile()
    bool dynamic = false;  // the file's batch is dynamic
    std::vector<std::string> precision_flags = {};
    TimingCache cache = {};
  };

  // Builds the plan (minutes for large networks).
  TensorRtModel(const net::Network& network, std::string_view onnx_bytes,
                const TargetOptions& target, const Options& options)
      : input_(network.input),
        classes_(static_cast<size_t>(network.num_classes())),
        target_(target),
        graph_(net::Lower(network)),
        profile_(options.profile) {
    WriteFileAtomically(folder_ / "model.onnx", onnx_bytes);
    std::vector<std::string> arguments = {"--onnx=" + (folder_ / "model.onnx").string(),
                                          "--saveEngine=" + Plan().string(),
                                          DeviceFlag(target.device),
                                          "--profilingVerbosity=detailed",
                                          "--iterations=1",
                                          "--duration=0"};
    if (options.dynamic) {  // trtexec refuses the flag for a fixed batch
      arguments.push_back(
          fmt::format("--shapes=image:{}x{}x{}x{}", target.batch, input_.c, input_.h, input_.w));
    }
    Append(arguments, options.precision_flags);
    build_ = Build(arguments, options.cache);
  }

  const TrtexecRun& build() const { return build_; }

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
    const fs::path times = folder_ / "times.json";
    const TrtexecRun run =
        Measure(options, {"--useCudaGraph", "--exportTimes=" + times.string()}, times);
    // It goes on without a graph when it cannot record one.
    if (run.log.find("--useCudaGraph flag has been ignored") != std::string::npos) {
      spdlog::warn(
          "engine tensorrt: trtexec could not use a CUDA graph; gaps between kernels count");
    }
    return ReadResult(run, [&] { return Summarise(ReadTimes(times)); });
  }

  std::vector<LayerTime> Profile(const TimingOptions& options) override {
    CheckProfiling(profile_);
    const fs::path profile = folder_ / "profile.json";
    const TrtexecRun run =
        Measure(options, {"--separateProfileRun", "--exportProfile=" + profile.string()}, profile);
    return ReadResult(run, [&] { return ReadProfile(profile, graph_); });
  }

 private:
  static void Append(std::vector<std::string>& to, const std::vector<std::string>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }

  fs::path Plan() const { return folder_ / "model.plan"; }

  // A broken cache makes some versions of trtexec give up or crash, so a build that fails is tried
  // once more without; that failure is then the one to report.
  TrtexecRun Build(const std::vector<std::string>& arguments, const TimingCache& cache) const {
    TrtexecCall call{.arguments = arguments, .writes = {Plan()}};
    if (!cache.path().empty()) {
      Append(call.arguments, cache.Flags());
      try {
        return RunTrtexec(folder_, call);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kInternal) throw;
      }
      call.arguments = arguments;
    }
    const TrtexecRun run = RunTrtexec(folder_, call);
    if (!cache.path().empty()) cache.Discard();
    return run;
  }

  // Times the plan; trtexec writes `result`.
  TrtexecRun Measure(const TimingOptions& options, std::vector<std::string> arguments,
                     const fs::path& result) const {
    const auto seconds = static_cast<int>(std::ceil(options.min_seconds));  // takes whole ones
    Append(arguments, {"--loadEngine=" + Plan().string(), DeviceFlag(target_.device),
                       "--noDataTransfers", "--useSpinWait", fmt::format("--warmUp={}", kWarmUpMs),
                       fmt::format("--iterations={}", options.min_runs),
                       fmt::format("--duration={}", seconds)});
    return RunTrtexec(folder_, {.arguments = arguments, .reads = {Plan()}, .writes = {result}});
  }

  std::vector<float> RunBatch(std::span<const float> input) {
    const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size_bytes());
    const fs::path image = folder_ / "image.bin", result = folder_ / "output.json";
    WriteFileAtomically(image, bytes);
    const TrtexecRun run = RunTrtexec(
        folder_,
        {.arguments = {"--loadEngine=" + Plan().string(), DeviceFlag(target_.device),
                       "--loadInputs=image:" + image.string(), "--exportOutput=" + result.string(),
                       "--iterations=1", "--warmUp=0", "--duration=0"},
         .reads = {Plan()},
         .writes = {result}});
    return ReadResult(run, [&] {
      std::vector<float> output = ReadOutput(result, "logits");
      const size_t expected = static_cast<size_t>(target_.batch) * classes_;
      if (output.size() != expected) {
        throw Error(ErrorKind::kInternal, "{}: {} logits instead of {}", result.string(),
                    output.size(), expected);
      }
      return output;
    });
  }

  WorkFolder folder_;
  net::Shape input_;
  size_t classes_;
  TargetOptions target_;
  net::Graph graph_;
  bool profile_;
  TrtexecRun build_;
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
    // In f32, since the flags for other precisions depend on the version that this asks for.
    TargetOptions target = options;
    target.precision = Precision::kF32;
    const TensorRtModel model(probe, Export(probe, weights), target, {});
    tensorrt_ = ReadInstallation(model.build());
    precision_flags_ = PrecisionFlags(options.precision, tensorrt_);
    cache_ = TimingCache(tensorrt_.version, tensorrt_.device_name);
  }

  Fingerprint Target() const override {
    return {.engine = "tensorrt",
            .engine_version = tensorrt_.version,
            .device = options_.device,
            .device_name = tensorrt_.device_name,
            .options = options_};
  }

  std::unique_ptr<CompiledModel> Compile(const net::Network& network, const net::Weights& weights,
                                         const CompileOptions& options) override {
    if (options_.precision == Precision::kInt8) {
      throw Error(ErrorKind::kInput,
                  "engine tensorrt: precision int8 needs a quantised model; load a quantised ONNX "
                  "file, or use f16");
    }
    TensorRtModel::Options model = ModelOptions();
    model.profile = options.profile;
    return std::make_unique<TensorRtModel>(network, Typed(Export(network, weights), network.name),
                                           options_, model);
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
    const std::vector<int> shape = onnx::ReadForm(onnx_path).lengths;
    const int batch = shape.empty() ? 0 : shape[0];
    if (batch != 0 && batch != options_.batch) {
      throw Error(ErrorKind::kInput, "{}: made for batch {}, the target's batch is {}", onnx_path,
                  batch, options_.batch);
    }
    TensorRtModel::Options model = ModelOptions();
    model.dynamic = batch == 0;
    return std::make_unique<TensorRtModel>(net::ParseNetwork(json->second, onnx_path),
                                           Typed(ReadFile(onnx_path), onnx_path), options_, model);
  }

 private:
  std::string Export(const net::Network& network, const net::Weights& weights) const {
    return onnx::ToOnnx(network, weights, {.batch = options_.batch});
  }

  // The model in the types that this TensorRT is to compute in.
  std::string Typed(const std::string& onnx_bytes, std::string_view name) const {
    const bool half = options_.precision == Precision::kF16 && tensorrt_.IsStronglyTyped();
    return half ? onnx::ToHalf(onnx_bytes, name) : onnx_bytes;
  }

  TensorRtModel::Options ModelOptions() const {
    return {.precision_flags = precision_flags_, .cache = cache_};
  }

  TargetOptions options_;
  Installation tensorrt_;
  std::vector<std::string> precision_flags_;
  TimingCache cache_;
};

}  // namespace

std::unique_ptr<Engine> MakeTensorRtEngine(const TargetOptions& options) {
  CheckTargetOptions(options);
  DeviceFlag(options.device);
  return std::make_unique<TensorRtEngine>(options);
}

}  // namespace lathe::engine
