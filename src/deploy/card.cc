#include "deploy/card.h"

#include <fmt/format.h>

#include <cmath>

#include "base/file.h"
#include "base/log.h"
#include "data/preprocessing_file.h"
#include "deploy/examples.h"

namespace lathe::deploy {
namespace {

// Names come from folders on a user's disk: nothing in them may act as Markdown or HTML.
std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("\\`*_{}[]()<>#+-.!|&").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c == '\n' || c == '\r' ? ' ' : c;
  }
  return escaped;
}

std::string AccuracySection(const Package& package) {
  const Verification& check = package.deployed().verification;
  const std::string where =
      package.read_by ? fmt::format("in {} on {} (the target's engine, {}, reads no files)",
                                    package.read_by->engine, Escape(package.read_by->device_name),
                                    package.target.engine)
                      : "in the engine";
  std::string text = fmt::format(
      "Top-1 on the {} test images of {}; the trained model has {:.2f} %. Each file was compared "
      "{} with the trained model, image by image.\n\n"
      "| file | computed in | accuracy | 95 % interval | same top-1 | largest logit difference "
      "|\n|---|---|---:|---:|---:|---:|\n",
      check.images, Escape(package.data_name), 100 * check.accuracy_trained(), where);
  const auto computed_in = [&](const Variant& variant) {
    return engine::Name(package.read_by ? package.read_by->options.precision : variant.precision);
  };
  for (const Variant& variant : package.variants) {
    const Verification& one = variant.verification;
    const auto [low, high] = WilsonInterval(one.accuracy_exported(), one.images);
    text += fmt::format("| {} | {} | {:.2f} % | {:.2f} - {:.2f} % | {:.2f} % | {:.1e} |\n",
                        variant.file, computed_in(variant), 100 * one.accuracy_exported(),
                        100 * low, 100 * high, 100 * one.agreement(), one.max_difference);
  }
  return text;
}

std::string LatencySection(const Package& package) {
  const engine::Timing& measured = package.measured;
  std::string text = fmt::format(
      "| | ms |\n|---|---:|\n| budget | {:.3f} |\n| predicted by the look-up table | {:.3f} |\n"
      "| measured end to end, median of {} runs | {:.3f} |\n| p10 - p90 | {:.3f} - {:.3f} |\n",
      package.latency_budget_us / 1000, package.latency_lut_us / 1000, measured.runs,
      measured.median_us / 1000, measured.p10_us / 1000, measured.p90_us / 1000);
  if (package.variants.size() > 1) {
    for (const Variant& variant : package.variants) {
      text += fmt::format("| {} in {}, in turns with the others | {:.3f} |\n", variant.file,
                          engine::Name(variant.precision), variant.measured.median_us / 1000);
    }
  }
  text += "\nTarget:\n\n";
  for (const auto& [name, value] : package.target.Fields())
    text += fmt::format("- {}: {}\n", name, Escape(value));
  return text;
}

std::string Int8Section(const Package& package) {
  if (!package.quantized) return "";
  const QuantizedModel& model = *package.quantized;
  std::string text = fmt::format(
      "## Int8\n\nCalibrated on training images: ranges by {}, biases {}. Layers by what each "
      "alone in int8 does to the logits (mean square relative to their variance):\n\n"
      "| layer | operation | error | |\n|---:|---|---:|---|\n",
      Name(model.method), model.quantization.bias_shifts.empty() ? "as they are" : "corrected");
  for (const LayerSensitivity& one : model.sensitivity) {
    text +=
        fmt::format("| {} | {} | {:.2e} | {} |\n", one.layer,
                    net::Name(package.network.layers[static_cast<size_t>(one.layer)].op), one.error,
                    model.quantization.float_layers.contains(one.layer) ? "stays float" : "");
  }
  return text + "\n";
}

std::string InputSection(const Package& package) {
  std::string text = fmt::format(
      "`image`: float32, 1 x {} x {} x {}; `(pixel / 255 - mean) / std` with `{}`. Pictures: the "
      "shorter side resized to resolution / crop, the middle cut out.\n\n"
      "`logits`: float32, 1 x {}, one per class:\n\n",
      package.network.input.c, package.network.input.h, package.network.input.w,
      data::ToJson(package.preprocessing), package.network.num_classes());
  for (size_t i = 0; i < package.class_names.size(); ++i)
    text += fmt::format("{}. {}\n", i, Escape(package.class_names[i]));
  return text;
}

std::string RunSection(const Package& package) {
  const std::string& file = package.deployed().file;
  std::string text = fmt::format(
      "OpenVINO: `python3 examples/classify.py PICTURE`, or in C++\n\n```\n"
      "cmake -B build -S examples -DOpenVINO_DIR=.../openvino/cmake && cmake --build build\n"
      "build/classify {} PICTURE\n```\n\n"
      "TensorRT: `trtexec --onnx={} --fp16 --saveEngine=model.plan`. For int8 there, export "
      "symmetric activations: `lathe net export network.json --weights weights.safetensors --int8 "
      "--activations int8 --calibrate DATA -o model-trt.onnx`, then `trtexec --onnx=model-trt.onnx "
      "--int8 --fp16 --saveEngine=model.plan`.\n\n",
      file, kModelFile);
  if (!package.triton_onnx.empty()) {
    text += fmt::format(
        "Triton: `tritonserver --model-repository=triton`, model `{}`, batches of up to 64.\n\n",
        TritonName(package));
  }
  return text + "PyTorch: `lathe_torch.load(\"network.json\", \"weights.safetensors\")`.\n";
}

std::string CostText(const SearchCost& cost) {
  if (cost.trials == 0) return "";
  return fmt::format("Cost: {} trials in {}, this training {}. ", cost.trials,
                     FormatSeconds(cost.search_seconds), FormatSeconds(cost.training_seconds));
}

}  // namespace

std::string Card(const Package& package, const std::map<std::string, std::string>& files) {
  const net::Costs costs = net::Count(package.network);
  std::string card =
      fmt::format("# {}\n\nAn image classifier for {} x {} pixels and {} classes, from {}.\n\n",
                  Escape(package.network.name), package.network.input.h, package.network.input.w,
                  package.network.num_classes(), Escape(package.origin));
  card += fmt::format("## Accuracy\n\n{}\n## Latency\n\n{}\n", AccuracySection(package),
                      LatencySection(package));
  card += fmt::format("## Size\n\n{} parameters, {} multiply-accumulates.\n\n",
                      FormatCount(costs.params), FormatCount(costs.macs));
  card += Int8Section(package);
  card += fmt::format("## Input and output\n\n{}\n## Run it\n\n{}\n", InputSection(package),
                      RunSection(package));
  card += "## Files\n\n| file | bytes | FNV-1a 64 |\n|---|---:|---|\n";
  for (const auto& [name, content] : files) {
    card += fmt::format("| {} | {} | `{:016x}` |\n", name,
                        FormatCount(static_cast<int64_t>(content.size())), HashBytes(content));
  }
  card += fmt::format(
      "\n## How it was made\n\n{}Seed {}. Reproduce with\n\n```\n{}\n```\n\nRecipe:\n\n"
      "```toml\n{}```\n",
      CostText(package.cost), package.seed, package.command, package.recipe_toml);
  return card;
}

}  // namespace lathe::deploy
