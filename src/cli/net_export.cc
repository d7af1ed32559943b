#include "cli/net_export.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/table.h"
#include "cli/net_train.h"
#include "cli/version.h"
#include "deploy/quantize_model.h"
#include "deploy/verify.h"
#include "engine/timing.h"
#include "onnx/export.h"
#include "train/trainer.h"

namespace lathe::cli {
namespace {

using engine::Precision;

struct ExportFlags {
  std::string network, weights, out, precision = "f32";
  bool random = false;
  int batch = 1, opset = 14;
  bool pixels = false, softmax = false;
  std::string licence;
  std::vector<std::string> metadata;
  std::string calibrate, ranges = "best", activations = "uint8";
  int64_t images = 300;
  double max_drop = 0.5;  // points
};

// A trained network and its data: what int8 is calibrated and judged with.
struct Trained {
  const net::Network& network;
  const net::Weights& weights;
  data::Splits splits;
  data::Preprocessing preprocessing;
  std::unique_ptr<train::TrainedModel> model;

  deploy::LogitsFunction Logits() const {
    return
        [this](std::span<const float> images, int count) { return model->Logits(images, count); };
  }
};

// The exported file, or the network in another precision, as it runs in the engine.
struct Measured {
  std::string name;
  std::unique_ptr<engine::CompiledModel> model;
  onnx::FileForm form = {};
  engine::Timing timing = {};
  deploy::Verification verification = {};
};

net::Weights WeightsFor(const Globals& globals, const ExportFlags& flags,
                        const net::Network& network) {
  if (flags.random) return net::RandomWeights(net::Lower(network), globals.seed);
  if (!flags.weights.empty()) return net::ReadSafetensors(flags.weights);
  throw Error(ErrorKind::kUsage,
              "give --weights FILE.safetensors, or --random for a network that is only timed");
}

std::map<std::string, std::string> MetadataOf(const net::Weights& weights,
                                              const ExportFlags& flags) {
  std::map<std::string, std::string> metadata = {{"lathe.version", kVersion}};
  for (const char* key : {"preprocessing", "classes"}) {
    const auto found = weights.metadata.find(key);
    if (found != weights.metadata.end()) metadata[fmt::format("lathe.{}", key)] = found->second;
  }
  if (!flags.licence.empty()) metadata["licence"] = flags.licence;
  for (const std::string& text : flags.metadata) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos)
      throw Error(ErrorKind::kUsage, "--metadata '{}': give KEY=VALUE", text);
    metadata[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return metadata;
}

onnx::PixelInput PixelsOf(const net::Weights& weights, const ExportFlags& flags) {
  const std::optional<data::Preprocessing> stored = StoredPreprocessing(weights, flags.weights);
  if (stored) return {.mean = stored->mean, .std = stored->std};
  throw Error(ErrorKind::kInput,
              "{}: says nothing about preprocessing, which --pixels makes part of the model; "
              "weights that Lathe trained do",
              flags.random ? "--random" : flags.weights);
}

onnx::ExportOptions OptionsOf(const net::Weights& weights, const ExportFlags& flags) {
  onnx::ExportOptions options{.batch = flags.batch,
                              .opset = flags.opset,
                              .metadata = MetadataOf(weights, flags),
                              .half = flags.precision == "f16",
                              .softmax = flags.softmax};
  if (flags.pixels) options.pixels = PixelsOf(weights, flags);
  return options;
}

onnx::ActivationType ActivationsOf(const std::string& name) {
  return name == onnx::Name(onnx::ActivationType::kInt8) ? onnx::ActivationType::kInt8
                                                         : onnx::ActivationType::kUint8;
}

Trained LoadTrained(const Globals& globals, const ExportFlags& flags, const net::Network& network,
                    const net::Weights& weights) {
  data::Splits splits = OpenData(flags.calibrate, globals.seed);
  const data::Preprocessing preprocessing =
      PreprocessingOf(weights, flags.weights, *splits.train, network.input.h);
  return {.network = network,
          .weights = weights,
          .splits = std::move(splits),
          .preprocessing = preprocessing,
          .model = std::make_unique<train::TrainedModel>(network, weights, AvailableThreads())};
}

deploy::QuantizedModel Quantize(const ExportFlags& flags, const Trained& trained) {
  const std::unique_ptr<engine::Engine> engine =
      MakeEngine("openvino", {.precision = Precision::kInt8});
  deploy::QuantizedModel quantized =
      deploy::QuantizeModel(trained.network, trained.weights, *trained.model, *engine,
                            trained.splits.train, trained.preprocessing,
                            {.method = deploy::RangeMethodOf(flags.ranges),
                             .activations = ActivationsOf(flags.activations),
                             .images = flags.images,
                             .max_drop = flags.max_drop / 100});
  if (quantized.holds) return quantized;
  throw Error(ErrorKind::kTargetNotReached,
              "int8 costs {:.2f} points of accuracy on {} training images, even with all layers "
              "but one in float; allowed are {:g} (--max-drop). Try other --ranges, more --images, "
              "or --precision f16",
              100 * (quantized.accuracy_float - quantized.accuracy_int8), quantized.images,
              flags.max_drop);
}

// The file beside the same network in f32 and, where the processor has it, bf16: timed in turns,
// and judged on all test images.
std::vector<Measured> MeasureBeside(const ExportFlags& flags, const Trained& trained) {
  std::vector<Measured> all;
  for (const Precision precision : {Precision::kF32, Precision::kBf16}) {
    try {
      all.push_back({.name = std::string(engine::Name(precision)),
                     .model = MakeEngine("openvino", {.precision = precision})
                                  ->Compile(trained.network, trained.weights, {})});
    } catch (const Error& error) {
      spdlog::info("{} is left out: {}", engine::Name(precision), error.what());
    }
  }
  all.push_back({.name = flags.out,
                 .model = MakeEngine("openvino", {.precision = Precision::kInt8})->Load(flags.out),
                 .form = onnx::ReadForm(flags.out)});
  std::vector<engine::CompiledModel*> models;
  std::vector<deploy::ExportedModel> exported;
  for (const Measured& one : all) {
    models.push_back(one.model.get());
    exported.push_back({one.model.get(), one.form});
  }
  const std::vector<engine::Timing> timings = engine::TimeSteadily(models, 10);
  const std::vector<deploy::Verification> verifications =
      deploy::Verify(trained.Logits(), exported, trained.splits.test, trained.preprocessing);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].timing = timings[i];
    all[i].verification = verifications[i];
  }
  return all;
}

bool IsInFloat(const deploy::QuantizedModel& quantized, int layer) {
  return quantized.quantization.float_layers.contains(layer);
}

nlohmann::ordered_json JsonOf(const net::Network& network, const deploy::QuantizedModel& quantized,
                              const std::vector<Measured>& measured) {
  nlohmann::ordered_json json = {{"ranges", deploy::Name(quantized.method)},
                                 {"biases_corrected", !quantized.quantization.bias_shifts.empty()},
                                 {"layers", nlohmann::ordered_json::array()},
                                 {"measured", nlohmann::ordered_json::array()}};
  for (const deploy::LayerSensitivity& one : quantized.sensitivity) {
    json["layers"].push_back({{"layer", one.layer},
                              {"op", net::Name(network.layers[static_cast<size_t>(one.layer)].op)},
                              {"error", one.error},
                              {"float", IsInFloat(quantized, one.layer)}});
  }
  for (const Measured& one : measured) {
    json["measured"].push_back({{"name", one.name},
                                {"median_us", one.timing.median_us},
                                {"images", one.verification.images},
                                {"accuracy", one.verification.accuracy_exported()},
                                {"agreement", one.verification.agreement()}});
  }
  return json;
}

std::string TextOf(const net::Network& network, const deploy::QuantizedModel& quantized,
                   const std::vector<Measured>& measured) {
  std::vector<std::vector<std::string>> rows = {{"layer", "op", "error alone in int8", ""}};
  for (const deploy::LayerSensitivity& one : quantized.sensitivity) {
    rows.push_back({std::to_string(one.layer),
                    std::string(net::Name(network.layers[static_cast<size_t>(one.layer)].op)),
                    fmt::format("{:.2e}", one.error),
                    IsInFloat(quantized, one.layer) ? "float" : ""});
  }
  std::string text = FormatTable(rows);
  rows = {{"", "latency", "test accuracy", "same top-1"}};
  for (const Measured& one : measured) {
    rows.push_back({one.name, FormatMs(one.timing.median_us),
                    FormatPercent(one.verification.accuracy_exported()),
                    FormatPercent(one.verification.agreement())});
  }
  return text +
         fmt::format("ranges by {}, biases {}\n", deploy::Name(quantized.method),
                     quantized.quantization.bias_shifts.empty() ? "as they are" : "corrected") +
         FormatTable(rows);
}

// Calibrates, writes the file, and measures it as it was written.
int ExportCalibrated(const Globals& globals, const ExportFlags& flags, const net::Network& network,
                     const net::Weights& weights, onnx::ExportOptions options) {
  const Trained trained = LoadTrained(globals, flags, network, weights);
  const deploy::QuantizedModel quantized = Quantize(flags, trained);
  options.quantization = quantized.quantization;
  onnx::ExportOnnx(flags.out, network, weights, options);
  const std::vector<Measured> measured = MeasureBeside(flags, trained);
  globals.json ? PrintJson(JsonOf(network, quantized, measured))
               : PrintText(TextOf(network, quantized, measured));
  const std::string complaint =
      deploy::Complaint(measured.back().verification, {.max_drop = flags.max_drop / 100});
  if (complaint.empty()) return 0;
  throw Error(ErrorKind::kTargetNotReached,
              "{}: on the test images its {}. A smaller --max-drop leaves more layers in float",
              flags.out, complaint);
}

int Export(const Globals& globals, const ExportFlags& flags) {
  const net::Network network = LoadNetwork(flags.network);
  const net::Weights weights = WeightsFor(globals, flags, network);
  onnx::ExportOptions options = OptionsOf(weights, flags);
  if (flags.precision == "int8") {
    if (!flags.random && flags.calibrate.empty()) {
      throw Error(ErrorKind::kUsage,
                  "--precision int8 needs images to calibrate with: give --calibrate DATA, or "
                  "--random for a network that is only timed");
    }
    if (!flags.random) return ExportCalibrated(globals, flags, network, weights, options);
    options.quantization = {.ranges = onnx::NominalRanges(net::Lower(network)),
                            .activations = ActivationsOf(flags.activations)};
  }
  onnx::ExportOnnx(flags.out, network, weights, options);
  PrintText(flags.out + "\n");
  return 0;
}

struct VerifyFlags {
  std::string network, weights, onnx, data = "fashion-mnist";
  TargetFlags target;
  int64_t images = 0;
  std::optional<double> tolerance, max_drop;  // max_drop in points
};

deploy::Tolerance ToleranceOf(const VerifyFlags& flags) {
  deploy::Tolerance tolerance = deploy::ToleranceOf(engine::ParsePrecision(flags.target.precision));
  if (flags.tolerance) tolerance.max_relative = flags.tolerance;
  if (flags.max_drop) tolerance.max_drop = *flags.max_drop / 100;
  return tolerance;
}

int Verify(const Globals& globals, const VerifyFlags& flags) {
  const data::Splits splits = OpenData(flags.data, globals.seed);
  const net::Network network = LoadNetwork(flags.network);
  const net::Weights weights = net::ReadSafetensors(flags.weights);
  train::TrainedModel trained(network, weights, AvailableThreads());
  const std::unique_ptr<engine::CompiledModel> exported = flags.target.Make()->Load(flags.onnx);
  const engine::Timing timing =
      engine::TimeUndisturbed(*exported, {.warmup = 10, .min_runs = 50, .min_seconds = 0.3});
  const std::vector<deploy::Verification> results = deploy::Verify(
      [&](std::span<const float> images, int count) { return trained.Logits(images, count); },
      {{exported.get(), onnx::ReadForm(flags.onnx)}}, splits.test,
      PreprocessingOf(weights, flags.weights, *splits.train, network.input.h), flags.images);
  const deploy::Verification& result = results.front();
  const std::string complaint = deploy::Complaint(result, ToleranceOf(flags));
  if (globals.json) {
    PrintJson({{"images", result.images},
               {"max_difference", result.max_difference},
               {"max_relative_difference", result.max_relative},
               {"rounding", result.rounding},
               {"disagreements", result.disagreements},
               {"accuracy_trained", result.accuracy_trained()},
               {"accuracy_exported", result.accuracy_exported()},
               {"median_us", timing.median_us},
               {"ok", complaint.empty()}});
  } else {
    PrintText(fmt::format(
        "{} images: largest logit difference {:.2e} ({:.2e} relative), {} top-1 disagreements, "
        "accuracy trained {} exported {}, latency {}\n",
        result.images, result.max_difference, result.max_relative, result.disagreements,
        FormatPercent(result.accuracy_trained()), FormatPercent(result.accuracy_exported()),
        FormatMs(timing.median_us)));
  }
  if (complaint.empty()) return 0;
  throw Error(ErrorKind::kTargetNotReached, "{} does not match the trained model: {}", flags.onnx,
              complaint);
}

CLI::App* AddCommand(CLI::App& net_command, const std::string& name, const std::string& help,
                     std::string& network) {
  CLI::App* command = net_command.add_subcommand(name, help);
  command->add_option("network", network, kNetworkHelp)->required();
  return command;
}

}  // namespace

void AddNetExportCommand(CLI::App& net_command, const Globals& globals, Action& action) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = AddCommand(net_command, "export", "Write an ONNX file", flags->network);
  command->callback([&action, &globals, flags] {
    action = [&globals, flags] { return Export(globals, *flags); };
  });
  command->add_option("--weights", flags->weights, "Weights (safetensors)");
  command->add_flag("--random", flags->random, "Random weights instead");
  command->add_option("--batch", flags->batch, "Images per inference; 0: dynamic")
      ->capture_default_str();
  command->add_option("--opset", flags->opset, "Version of ONNX's operators, 11 to 17")
      ->capture_default_str();
  command->add_option("--precision", flags->precision, "f32, f16 or int8")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "f16", "int8"}));
  command->add_flag("--pixels", flags->pixels,
                    "Takes uint8 pixels {N, H, W, C} and normalises them itself");
  command->add_flag("--softmax", flags->softmax, "Gives probabilities instead of logits");
  command->add_option("--licence", flags->licence, "Licence, for the file's metadata");
  command->add_option("--metadata", flags->metadata,
                      "More metadata, as KEY=VALUE; may be repeated");
  command->add_flag_callback(
      "--int8", [flags] { flags->precision = "int8"; }, "Short for --precision int8");
  command->add_option("--calibrate", flags->calibrate,
                      fmt::format("Data to calibrate int8 with: {}", kDataHelp));
  command->add_option("--images", flags->images, "Images to calibrate with")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command
      ->add_option("--ranges", flags->ranges,
                   "How ranges are chosen: min-max, percentile, entropy, or best of these")
      ->capture_default_str()
      ->check(CLI::IsMember({"best", "min-max", "percentile", "entropy"}));
  command
      ->add_option("--activations", flags->activations,
                   "uint8, or int8 for TensorRT: symmetric, without zero points")
      ->capture_default_str()
      ->check(CLI::IsMember({"uint8", "int8"}));
  command
      ->add_option("--max-drop", flags->max_drop,
                   "Points of accuracy that int8 may cost; layers stay in float until it holds")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--out,-o", flags->out, "ONNX file to write")->required();
}

void AddNetVerifyCommand(CLI::App& net_command, const Globals& globals, Action& action) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* command =
      AddCommand(net_command, "verify", "Compare an ONNX file in the engine with the trained model",
                 flags->network);
  command->callback([&action, &globals, flags] {
    action = [&globals, flags] { return Verify(globals, *flags); };
  });
  command->add_option("--weights", flags->weights, "Weights (safetensors)")->required();
  command->add_option("--onnx", flags->onnx, "ONNX file")->required();
  command->add_option("--data", flags->data, kDataHelp)->capture_default_str();
  command->add_option("--images", flags->images, "At most so many test images; 0: all")
      ->capture_default_str();
  command
      ->add_option("--tolerance", flags->tolerance,
                   "Largest difference of a logit, relative to the image's largest (or to 1); "
                   "0.001 for f32, none for other precisions")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--max-drop", flags->max_drop,
                   "Points of accuracy that may be lost; 0.5, for f32 any")
      ->check(CLI::Range(0.0, 100.0));
  flags->target.AddTo(*command);
}

}  // namespace lathe::cli
