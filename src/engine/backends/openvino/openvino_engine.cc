#include "engine/backends/openvino/openvino_engine.h"

#include <algorithm>
#include <cmath>
#include <openvino/op/fake_quantize.hpp>
#include <openvino/openvino.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "engine/backends/openvino/node_times.h"
#include "engine/timing.h"
#include "net/graph.h"
#include "onnx/export.h"

namespace lathe::engine {
namespace {

// Batch of the second model that Run() uses for many images: large enough to keep the caches'
// weights busy, small enough that a batch of 224 px activations stays near the cores.
constexpr int kBulkBatch = 32;

// Fetching a profile costs a small network some of the weights it had in the caches: 28 and 96 px
// MobileNetV2 x0.5 then look 5 to 10 % slower than in Time(). Below this an inference that is not
// measured comes in between; above it makes no difference.
constexpr double kRewarmBelowUs = 2000;

// Runs `body`; OpenVINO's exceptions leave as Error.
template <typename Body>
auto Guard(const char* doing, Body body) {
  try {
    return body();
  } catch (const ov::Exception& e) {
    throw Error(ErrorKind::kInternal, "OpenVINO failed to {}: {}", doing, e.what());
  }
}

ov::element::Type InferencePrecision(Precision precision) {
  return precision == Precision::kBf16  ? ov::element::bf16
         : precision == Precision::kF16 ? ov::element::f16
                                        : ov::element::f32;  // int8 is in the model's own QDQ nodes
}

struct Compiled {
  ov::CompiledModel model;
  ov::InferRequest request;
  int batch = 0;
};

Compiled CompileFor(ov::Core& core, const std::shared_ptr<ov::Model>& source,
                    const TargetOptions& target, int batch, bool profile) {
  const std::shared_ptr<ov::Model> model = source->clone();
  ov::PartialShape shape = model->input().get_partial_shape();
  shape[0] = batch;
  model->reshape(shape);
  if (profile) AddEndMarker(*model);
  Compiled compiled;
  compiled.batch = batch;
  compiled.model = core.compile_model(
      model, target.device, ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
      ov::num_streams(1), ov::inference_num_threads(target.threads),
      ov::hint::inference_precision(InferencePrecision(target.precision)),
      ov::enable_profiling(profile));
  compiled.request = compiled.model.create_infer_request();
  return compiled;
}

class OpenVinoModel : public CompiledModel {
 public:
  // With `graph` the model can be profiled.
  OpenVinoModel(std::shared_ptr<ov::Core> core, std::shared_ptr<ov::Model> model,
                const TargetOptions& target, std::optional<net::Graph> graph)
      : core_(std::move(core)),
        model_(std::move(model)),
        target_(target),
        graph_(std::move(graph)),
        timed_(CompileFor(*core_, model_, target_, target_.batch, graph_.has_value())) {
    const ov::Shape input = timed_.model.input().get_shape();
    image_size_ = ov::shape_size(input) / input.at(0);
    classes_ = timed_.model.output(0).get_shape().at(1);
    pixels_ = timed_.model.input().get_element_type() == ov::element::u8;
    // Not zeros: the values must be such as real images give, lest the hardware find them easier.
    Random random(SubSeed(0, "engine.timing-input"));
    for (size_t i = 0; i < ov::shape_size(input); ++i) {
      timing_input_.push_back(
          static_cast<float>(pixels_ ? std::floor(256 * random.Uniform()) : random.Normal()));
    }
  }

  std::vector<float> Run(std::span<const float> images, int count) override {
    BatchCount(images, count, image_size_, target_.batch);  // checks the sizes
    return Guard("run the model", [&] {
      std::vector<float> logits(static_cast<size_t>(count) * classes_);
      Compiled& compiled = ForImages(count);
      for (int first = 0; first < count; first += compiled.batch) {
        RunBatch(compiled.request, images, first, std::min(compiled.batch, count - first), logits);
      }
      return logits;
    });
  }

  Timing Time(const TimingOptions& options) override {
    return Guard("time the model", [&] {
      PresetInput();
      return Summarise(TimeRuns(options, [&] { timed_.request.infer(); }));
    });
  }

  std::vector<LayerTime> Profile(const TimingOptions& options) override {
    CheckProfiling(graph_.has_value());
    return Guard("profile the model", [&] {
      PresetInput();
      const auto infer = [&] { timed_.request.infer(); };
      const auto median_us = [&](int runs) {
        return Summarise(TimeRuns({.warmup = 1, .min_runs = runs, .min_seconds = 0}, infer))
            .median_us;
      };
      // One that takes long shows it in one run, and need not be run more often to find out.
      const bool rewarm = median_us(1) < 4 * kRewarmBelowUs && median_us(3) < kRewarmBelowUs;
      NodeTimes times(*graph_);
      TimeRuns(options, infer, [&] {
        times.Add(timed_.request.get_profiling_info());
        if (rewarm) infer();
      });
      return times.Layers();
    });
  }

 private:
  // A model compiled for larger batches pays off from a few batches on.
  Compiled& ForImages(int count) {
    if (target_.batch >= kBulkBatch || count < 2 * kBulkBatch) return timed_;
    if (!bulk_) bulk_ = CompileFor(*core_, model_, target_, kBulkBatch, false);
    return *bulk_;
  }

  // Runs images [first, first + count); a batch that is not full keeps what was in the rest of the
  // tensor.
  void RunBatch(ov::InferRequest& request, std::span<const float> images, int first, int count,
                std::vector<float>& logits) const {
    const auto begin = static_cast<size_t>(first);
    const auto size = static_cast<size_t>(count);
    SetInput(request, images.subspan(begin * image_size_, size * image_size_));
    request.infer();
    const ov::Tensor output = request.get_output_tensor(0);
    std::copy_n(output.data<const float>(), size * classes_,
                logits.begin() + static_cast<std::ptrdiff_t>(begin * classes_));
  }

  void SetInput(ov::InferRequest& request, std::span<const float> values) const {
    ov::Tensor input = request.get_input_tensor();
    if (pixels_) {
      std::ranges::transform(values, input.data<uint8_t>(),
                             [](float value) { return static_cast<uint8_t>(value); });
    } else {
      std::ranges::copy(values, input.data<float>());
    }
  }

  void PresetInput() { SetInput(timed_.request, timing_input_); }

  std::shared_ptr<ov::Core> core_;
  std::shared_ptr<ov::Model> model_;
  TargetOptions target_;
  std::optional<net::Graph> graph_;
  Compiled timed_;
  std::optional<Compiled> bulk_;
  size_t image_size_ = 0;
  size_t classes_ = 0;
  bool pixels_ = false;  // the input is uint8
  std::vector<float> timing_input_;
};

class OpenVinoEngine : public Engine {
 public:
  explicit OpenVinoEngine(const TargetOptions& options)
      : options_(options), core_(std::make_shared<ov::Core>()) {
    const std::vector<std::string> devices = core_->get_available_devices();
    if (options.device != "CPU" || std::ranges::find(devices, "CPU") == devices.end()) {
      throw Error(ErrorKind::kUnavailable,
                  "engine openvino: device '{}' is not available; this back end times 'CPU'",
                  options.device);
    }
    device_name_ = core_->get_property(options.device, ov::device::full_name);
    CheckPrecision();
  }

  Fingerprint Target() const override {
    return {.engine = "openvino",
            .engine_version = ov::get_openvino_version().buildNumber,
            .device = options_.device,
            .device_name = device_name_,
            .options = options_};
  }

  std::unique_ptr<CompiledModel> Compile(const net::Network& network, const net::Weights& weights,
                                         const CompileOptions& options) override {
    onnx::ExportOptions exporting{.batch = options_.batch};
    if (options_.precision == Precision::kInt8) {
      exporting.quantization = options.quantization;
      if (!exporting.quantization)
        exporting.quantization.emplace(onnx::NominalRanges(net::Lower(network)));
    }
    const std::string bytes = onnx::ToOnnx(network, weights, exporting);
    return Guard("compile the network", [&] {
      return std::make_unique<OpenVinoModel>(
          core_, core_->read_model(bytes, ov::Tensor()), options_,
          options.profile ? std::optional(net::Lower(network)) : std::nullopt);
    });
  }

  std::unique_ptr<CompiledModel> Load(const std::string& onnx_path) override {
    onnx::ReadMetadata(
        onnx_path);  // refuses other files, before OpenVINO tries its readers in turn
    std::shared_ptr<ov::Model> model;
    try {
      model = core_->read_model(onnx_path);
    } catch (const ov::Exception& e) {
      throw Error(ErrorKind::kInput, "{}: OpenVINO cannot read this model: {}", onnx_path,
                  e.what());
    }
    CheckImageClassifier(*model, onnx_path);
    CheckQuantised(*model, onnx_path);
    return Guard("compile the model file", [&] {
      return std::make_unique<OpenVinoModel>(core_, model, options_, std::nullopt);
    });
  }

 private:
  // The plugin falls back to f32 without a word where the processor lacks a type, so ask first.
  void CheckPrecision() {
    const std::vector<std::string> capabilities =
        core_->get_property(options_.device, ov::device::capabilities);
    const char* needed = options_.precision == Precision::kBf16   ? "BF16"
                         : options_.precision == Precision::kF16  ? "FP16"
                         : options_.precision == Precision::kInt8 ? "INT8"
                                                                  : nullptr;
    if (needed && std::ranges::find(capabilities, needed) == capabilities.end()) {
      throw Error(ErrorKind::kInput,
                  "engine openvino: {} does not compute in {}; use precision f32", device_name_,
                  Name(options_.precision));
    }
  }

  static void CheckImageClassifier(const ov::Model& model, const std::string& path) {
    const bool one = model.inputs().size() == 1 && model.outputs().size() == 1;
    const ov::PartialShape in = one ? model.input().get_partial_shape() : ov::PartialShape();
    const ov::PartialShape out = one ? model.output().get_partial_shape() : ov::PartialShape();
    const ov::element::Type type = one ? model.input().get_element_type() : ov::element::Type();
    const bool image = one && in.size() == 4 && in[1].is_static() && in[2].is_static() &&
                       in[3].is_static() && (type == ov::element::f32 || type == ov::element::u8);
    if (!image || out.size() != 2 || out[1].is_dynamic()) {
      throw Error(ErrorKind::kInput,
                  "{}: not an image classifier: expected one input {{N, C, H, W}} of floats or "
                  "{{N, H, W, C}} of pixels, and one output {{N, classes}}",
                  path);
    }
  }

  // A float model would run in float, and its time would pass for that of int8.
  void CheckQuantised(const ov::Model& model, const std::string& path) const {
    const auto quantises = [](const std::shared_ptr<ov::Node>& op) {
      return ov::is_type<ov::op::v0::FakeQuantize>(op);  // how OpenVINO reads QuantizeLinear
    };
    if (options_.precision != Precision::kInt8 || std::ranges::any_of(model.get_ops(), quantises)) {
      return;
    }
    throw Error(ErrorKind::kInput,
                "{}: this model is not quantised; precision int8 needs one with QuantizeLinear "
                "nodes, or use f32 or bf16",
                path);
  }

  TargetOptions options_;
  std::shared_ptr<ov::Core> core_;
  std::string device_name_;
};

}  // namespace

std::unique_ptr<Engine> MakeOpenVinoEngine(const TargetOptions& options) {
  CheckTargetOptions(options);
  return Guard("start", [&] { return std::make_unique<OpenVinoEngine>(options); });
}

}  // namespace lathe::engine
