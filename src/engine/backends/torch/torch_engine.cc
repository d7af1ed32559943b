#include "engine/backends/torch/torch_engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
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
#include "engine/timing.h"
#include "onnx/fold.h"

namespace lathe::engine {
namespace {

using Clock = std::chrono::steady_clock;
using net::Activation;
using net::Node;
using net::NodeKind;

constexpr int kBulkBatch = 32;  // images at a time when Run() gets many

// Inference mode and this target's thread count while it lives.
class Session {
 public:
  explicit Session(int threads) : before_(at::get_num_threads()) { at::set_num_threads(threads); }
  ~Session() { at::set_num_threads(before_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  c10::InferenceMode inference_;
  int before_;
};

// Runs `body`; torch's exceptions leave as Error.
template <typename Body>
auto Guard(const char* doing, Body body) {
  try {
    return body();
  } catch (const c10::Error& e) {
    throw Error(ErrorKind::kInternal, "torch failed to {}: {}", doing, e.what_without_backtrace());
  }
}

at::Tensor Activate(Activation act, at::Tensor x) {
  switch (act) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return at::relu_(x);
    case Activation::kRelu6:
      return at::clamp_(x, 0, 6);
    case Activation::kSwish:
      return at::silu_(x);
    case Activation::kHardSwish:
      return at::hardswish_(x);
    case Activation::kSigmoid:
      return at::sigmoid_(x);
    case Activation::kHardSigmoid:
      return at::hardsigmoid_(x);
  }
  throw Error(ErrorKind::kInternal, "unknown activation {}", static_cast<int>(act));
}

// One node, ready to run.
struct Step {
  Node node;
  at::Tensor weight, bias;
  std::vector<int> dead;  // nodes whose values nothing reads after this step

  at::Tensor Run(const at::Tensor& a, const at::Tensor& b) const {
    switch (node.kind) {
      case NodeKind::kConv:
        return Activate(node.act, Convolve(a));
      case NodeKind::kPool:
        return a.mean({2, 3}, true);
      case NodeKind::kScale:
        return a * b;
      case NodeKind::kAdd:
        return Activate(node.act, a + b);
      case NodeKind::kLinear:
        return Activate(node.act, at::linear(a.flatten(1), weight, bias));
    }
    throw Error(ErrorKind::kInternal, "unknown node kind {}", static_cast<int>(node.kind));
  }

 private:
  at::Tensor Convolve(const at::Tensor& x) const {
    const std::array<int64_t, 2> stride = {node.stride, node.stride};
    const std::array<int64_t, 2> dilation = {1, 1};
    const std::array<int64_t, 4> sides = {node.pad_begin, node.pad_end, node.pad_begin,
                                          node.pad_end};
    const bool even = node.pad_begin == node.pad_end;
    const int64_t pad = even ? node.pad_begin : 0;
    const std::array<int64_t, 2> padding = {pad, pad};
    const at::Tensor padded = even ? x : at::constant_pad_nd(x, sides);
    return at::conv2d(padded, weight, bias, stride, padding, dilation, node.groups);
  }
};

at::Tensor ToTensor(std::span<const float> values, at::IntArrayRef shape, at::ScalarType type) {
  const at::Tensor view =
      at::from_blob(const_cast<float*>(values.data()), shape, at::TensorOptions(at::kFloat));
  const auto format =
      shape.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return view.clone(format).to(type);
}

std::vector<Step> BuildSteps(const net::Graph& graph, const net::Weights& weights,
                             at::ScalarType type) {
  std::vector<Step> steps;
  std::vector<size_t> last_reader(graph.nodes.size());
  for (const Node& node : graph.nodes) {
    for (int input : node.inputs) {
      if (input != Node::kImage) last_reader[static_cast<size_t>(input)] = steps.size();
    }
    Step& step = steps.emplace_back();
    step.node = node;
    const auto vector = [&](const std::vector<float>& values) {
      return values.empty() ? at::Tensor() : ToTensor(values, {node.out.c}, type);
    };
    if (node.kind == NodeKind::kConv) {
      const onnx::FoldedConv conv = onnx::FoldBatchNorm(node, weights);
      step.weight = ToTensor(conv.weight,
                             {node.out.c, node.in.c / node.groups, node.kernel, node.kernel}, type);
      step.bias = vector(conv.bias);
    } else if (node.kind == NodeKind::kLinear) {
      step.weight =
          ToTensor(weights.at(node.name + ".weight").values, {node.out.c, node.in.c}, type);
      if (node.bias) step.bias = vector(weights.at(node.name + ".bias").values);
    }
  }
  for (size_t i = 0; i + 1 < last_reader.size(); ++i) {
    steps[last_reader[i]].dead.push_back(static_cast<int>(i));
  }
  return steps;
}

class TorchModel : public CompiledModel {
 public:
  TorchModel(const net::Network& network, const net::Weights& weights, const TargetOptions& target,
             bool profile)
      : input_(network.input),
        classes_(static_cast<size_t>(network.num_classes())),
        layers_(network.layers.size()),
        target_(target),
        type_(target.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat),
        profile_(profile) {
    const Session session(target.threads);
    steps_ = BuildSteps(net::Lower(network), weights, type_);
    Random random(SubSeed(0, "engine.timing-input"));
    std::vector<float> values(ImageSize() * static_cast<size_t>(target.batch));
    for (float& value : values) value = static_cast<float>(random.Normal());
    timing_input_ = ToTensor(values, ImageShape(target.batch), type_);
  }

  std::vector<float> Run(std::span<const float> images, int count) override {
    const int batch = std::max(target_.batch, std::min(count, kBulkBatch));
    BatchCount(images, count, ImageSize(), batch);
    return Guard("run the model", [&] {
      const Session session(target_.threads);
      std::vector<float> logits;
      logits.reserve(static_cast<size_t>(count) * classes_);
      for (int first = 0; first < count; first += batch) {
        const int size = std::min(batch, count - first);
        const auto part = images.subspan(static_cast<size_t>(first) * ImageSize(),
                                         static_cast<size_t>(size) * ImageSize());
        const at::Tensor out = Forward(ToTensor(part, ImageShape(size), type_), [](int) {})
                                   .to(at::kFloat)
                                   .contiguous();
        const float* values = out.const_data_ptr<float>();
        logits.insert(logits.end(), values, values + out.numel());
      }
      return logits;
    });
  }

  Timing Time(const TimingOptions& options) override {
    return Guard("time the model", [&] {
      const Session session(target_.threads);
      return Summarise(TimeRuns(options, [&] { Forward(timing_input_, [](int) {}); }));
    });
  }

  // Operations of eager mode on the CPU end before the next begins, so a clock between layers tells
  // their times.
  std::vector<LayerTime> Profile(const TimingOptions& options) override {
    CheckProfiling(profile_);
    return Guard("profile the model", [&] {
      const Session session(target_.threads);
      std::vector<std::vector<double>> samples(layers_);
      std::vector<double> run_us(layers_);
      const auto run = [&] {
        std::ranges::fill(run_us, 0.0);
        Clock::time_point last = Clock::now();
        Forward(timing_input_, [&](int layer) {
          const Clock::time_point now = Clock::now();
          run_us[static_cast<size_t>(layer)] +=
              std::chrono::duration<double, std::micro>(now - last).count();
          last = now;
        });
      };
      TimeRuns(options, run, [&] {
        for (size_t i = 0; i < layers_; ++i) samples[i].push_back(run_us[i]);
      });
      std::vector<LayerTime> times;
      for (size_t i = 0; i < layers_; ++i) {
        times.push_back(SummariseLayer(static_cast<int>(i), samples[i]));
      }
      return times;
    });
  }

 private:
  // Calls `after_node` with the layer of each node when it is done.
  template <typename AfterNode>
  at::Tensor Forward(const at::Tensor& image, AfterNode after_node) const {
    std::vector<at::Tensor> values(steps_.size());
    const auto input = [&](const Node& node, size_t i) -> at::Tensor {
      if (i >= node.inputs.size()) return {};
      const int from = node.inputs[i];
      return from == Node::kImage ? image : values[static_cast<size_t>(from)];
    };
    for (size_t i = 0; i < steps_.size(); ++i) {
      const Step& step = steps_[i];
      values[i] = step.Run(input(step.node, 0), input(step.node, 1));
      for (int dead : step.dead) values[static_cast<size_t>(dead)].reset();
      after_node(step.node.layer);
    }
    return values.back();
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
  TargetOptions target_;
  at::ScalarType type_;
  bool profile_;
  std::vector<Step> steps_;
  at::Tensor timing_input_;
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
  explicit TorchEngine(const TargetOptions& options) : options_(options) {
    if (options.device != "CPU") {
      throw Error(ErrorKind::kUnavailable,
                  "engine torch: device '{}' is not available; this back end times 'CPU'",
                  options.device);
    }
    if (options.precision != Precision::kF32 && options.precision != Precision::kBf16) {
      throw Error(ErrorKind::kInput,
                  "engine torch: precision {} is not supported on the CPU; use f32 or bf16",
                  Name(options.precision));
    }
  }

  Fingerprint Target() const override {
    return {.engine = "torch",
            .engine_version = TORCH_VERSION,
            .device = options_.device,
            .device_name = ProcessorName(),
            .options = options_};
  }

  std::unique_ptr<CompiledModel> Compile(const net::Network& network, const net::Weights& weights,
                                         const CompileOptions& options) override {
    net::CheckWeights(net::Lower(network), weights);
    return Guard("prepare the network", [&] {
      return std::make_unique<TorchModel>(network, weights, options_, options.profile);
    });
  }

  std::unique_ptr<CompiledModel> Load(const std::string& onnx_path) override {
    throw Error(ErrorKind::kUnavailable,
                "{}: torch reads no ONNX files; use engine openvino or tensorrt for exported files",
                onnx_path);
  }

 private:
  TargetOptions options_;
};

}  // namespace

std::unique_ptr<Engine> MakeTorchEngine(const TargetOptions& options) {
  CheckTargetOptions(options);
  return std::make_unique<TorchEngine>(options);
}

}  // namespace lathe::engine
