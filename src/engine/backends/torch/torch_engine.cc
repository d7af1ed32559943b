#include "engine/backends/torch/torch_engine.h"

#include <ATen/ATen.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "engine/backends/torch/eager.h"
#include "engine/backends/torch/gpu.h"
#include "engine/backends/torch/session.h"
#include "engine/timing.h"

namespace lathe::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBulkBatch = 32;  // images at a time when Run() gets many
// GPUs need this long under load to raise their clocks; trtexec warms up as long.
constexpr std::chrono::milliseconds kGpuWarmUp{200};

double Microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

class TorchModel : public CompiledModel {
 public:
  TorchModel(const net::Network& network, const net::Weights& weights, const TorchTarget& target,
             bool profile)
      : input_(network.input),
        classes_(static_cast<size_t>(network.num_classes())),
        layers_(network.layers.size()),
        target_(target),
        profile_(profile) {
    const Session session(target_);
    steps_ = BuildSteps(net::Lower(network), weights, target_.Tensors());
    Random random(SubSeed(0, "engine.timing-input"));
    const int batch = target_.options.batch;
    std::vector<float> values(ImageSize() * static_cast<size_t>(batch));
    for (float& value : values) value = static_cast<float>(random.Normal());
    timing_input_ = ToTensor(values, ImageShape(batch), target_.Tensors());
  }

  std::vector<float> Run(std::span<const float> images, int count) override {
    const int batch = std::max(target_.options.batch, std::min(count, kBulkBatch));
    BatchCount(images, count, ImageSize(), batch);
    return Guard("run the model", [&] {
      const Session session(target_);
      std::vector<float> logits;
      logits.reserve(static_cast<size_t>(count) * classes_);
      for (int first = 0; first < count; first += batch) {
        const int size = std::min(batch, count - first);
        const auto part = images.subspan(static_cast<size_t>(first) * ImageSize(),
                                         static_cast<size_t>(size) * ImageSize());
        const at::Tensor input = ToTensor(part, ImageShape(size), target_.Tensors());
        const at::Tensor out =
            RunSteps(steps_, input, [](size_t) {}).to(at::kCPU, at::kFloat).contiguous();
        const float* values = out.const_data_ptr<float>();
        logits.insert(logits.end(), values, values + out.numel());
      }
      return logits;
    });
  }

  Timing Time(const TimingOptions& options) override {
    return Guard("time the model", [&] {
      const Session session(target_);
      if (!target_.gpu) {
        return Summarise(
            TimeRuns(options, [&] { RunSteps(steps_, timing_input_, [](size_t) {}); }));
      }
      if (!graph_) graph_ = Record(Marks::kNone);
      WarmUp(*graph_);
      return Summarise(TimeRuns(options, [&] { graph_->Replay(); }));
    });
  }

  std::vector<LayerTime> Profile(const TimingOptions& options) override {
    CheckProfiling(profile_);
    return Guard("profile the model", [&] {
      const Session session(target_);
      return target_.gpu ? ProfileOnGpu(options) : ProfileOnCpu(options);
    });
  }

 private:
  enum class Marks { kNone, kEnds, kLayers };  // nowhere; at both ends; there and between layers

  // Operations of eager mode on the CPU end before the next begins, so a clock between them tells
  // their times.
  std::vector<LayerTime> ProfileOnCpu(const TimingOptions& options) {
    std::vector<std::vector<double>> samples(steps_.size());
    std::vector<double> run_us(steps_.size());
    const auto run = [&] {
      Clock::time_point last = Clock::now();
      RunSteps(steps_, timing_input_, [&](size_t step) {
        const Clock::time_point now = Clock::now();
        run_us[step] = Microseconds(now - last);
        last = now;
      });
    };
    TimeRuns(options, run, [&] {
      for (size_t i = 0; i < steps_.size(); ++i) samples[i].push_back(run_us[i]);
    });
    std::vector<std::vector<double>> layers(layers_, std::vector<double>(samples[0].size()));
    for (size_t i = 0; i < steps_.size(); ++i) {
      std::vector<double>& layer = layers[static_cast<size_t>(steps_[i].node.layer)];
      for (size_t j = 0; j < layer.size(); ++j) layer[j] += samples[i][j];
    }
    std::vector<LayerTime> times = Summaries(layers);
    for (size_t i = 0; i < steps_.size(); ++i) {
      times[static_cast<size_t>(steps_[i].node.layer)].node_us.push_back(
          SummariseLayer(0, samples[i]).median_us);
    }
    return times;
  }

  // Eager mode would time how fast the CPU issues kernels, so the layers are timed in the graph, by
  // events between them: a layer's time is that of its kernels and of the gap before each. What the
  // events take is found with a graph that has them at its ends only, replayed in between.
  std::vector<LayerTime> ProfileOnGpu(const TimingOptions& options) {
    const std::unique_ptr<GpuGraph> graph = Record(Marks::kLayers);
    const std::unique_ptr<GpuGraph> plain = Record(Marks::kEnds);
    std::vector<std::vector<double>> replays_us;
    std::vector<double> plain_us;
    WarmUp(*graph);
    TimeRuns(
        options, [&] { graph->Replay(); },
        [&] {
          replays_us.push_back(graph->MarkTimesUs());
          plain->Replay();
          plain_us.push_back(plain->MarkTimesUs().at(0));
        });
    TakeOffMarks(replays_us, plain_us);
    std::vector<std::vector<double>> samples(layers_);
    for (const std::vector<double>& parts_us : replays_us) {
      std::vector<double> run_us(layers_);
      for (size_t i = 0, part = 0; i < steps_.size(); ++i) {
        if (EndsLayer(i)) run_us[static_cast<size_t>(steps_[i].node.layer)] += parts_us.at(part++);
      }
      for (size_t i = 0; i < layers_; ++i) samples[i].push_back(run_us[i]);
    }
    return Summaries(samples);
  }

  static std::vector<LayerTime> Summaries(const std::vector<std::vector<double>>& samples) {
    std::vector<LayerTime> times;
    for (size_t i = 0; i < samples.size(); ++i) {
      times.push_back(SummariseLayer(static_cast<int>(i), samples[i]));
    }
    return times;
  }

  std::unique_ptr<GpuGraph> Record(Marks marks) const {
    return RecordGraph(*target_.gpu, [&](const Mark& mark) {
      if (marks != Marks::kNone) mark();
      RunSteps(steps_, timing_input_, [&](size_t step) {
        const bool last = step + 1 == steps_.size();
        if (marks == Marks::kLayers ? EndsLayer(step) : marks == Marks::kEnds && last) mark();
      });
    });
  }

  static void WarmUp(GpuGraph& graph) {
    const Clock::time_point start = Clock::now();
    while (Clock::now() - start < kGpuWarmUp) graph.Replay();
  }

  bool EndsLayer(size_t step) const {
    return step + 1 == steps_.size() || steps_[step].node.layer != steps_[step + 1].node.layer;
  }

  size_t ImageSize() const {
    return static_cast<size_t>(input_.c) * static_cast<size_t>(input_.h * input_.w);
  }
  std::array<int64_t, 4> ImageShape(int batch) const {
    return {batch, input_.c, input_.h, input_.w};
  }

  net::Shape input_;
  size_t classes_;
  size_t layers_;
  TorchTarget target_;
  bool profile_;
  std::vector<Step> steps_;
  at::Tensor timing_input_;
  std::unique_ptr<GpuGraph> graph_;  // reads the two above
};

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

class TorchEngine : public Engine {
 public:
  explicit TorchEngine(const TargetOptions& options) : target_(MakeTorchTarget(options)) {}

  Fingerprint Target() const override {
    const std::optional<Gpu>& gpu = target_.gpu;
    return {.engine = "torch",
            .engine_version = gpu ? TORCH_VERSION ", " + gpu->versions : TORCH_VERSION,
            .device = target_.options.device,
            .device_name = gpu ? gpu->name : ProcessorName(),
            .options = target_.options};
  }

  std::unique_ptr<CompiledModel> Compile(const net::Network& network, const net::Weights& weights,
                                         const CompileOptions& options) override {
    net::CheckWeights(net::Lower(network), weights);
    return Guard("prepare the network", [&] {
      return std::make_unique<TorchModel>(network, weights, target_, options.profile);
    });
  }

  bool LoadsFiles() const override { return false; }

  std::unique_ptr<CompiledModel> Load(const std::string& onnx_path) override {
    throw Error(ErrorKind::kUnavailable,
                "{}: torch reads no ONNX files; use engine openvino or tensorrt for exported files",
                onnx_path);
  }

 private:
  TorchTarget target_;
};

}  // namespace

std::unique_ptr<Engine> MakeTorchEngine(const TargetOptions& options) {
  CheckTargetOptions(options);
  return std::make_unique<TorchEngine>(options);
}

}  // namespace lathe::engine
