// The finalist's folder: files, card, and how it appears at once.
#include "deploy/package.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "data/preprocessing_file.h"
#include "net/network_file.h"

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

std::string LatencySection(const Package& package) {
  std::string text = fmt::format(
      "| | ms |\n|---|---:|\n| budget | {:.3f} |\n| predicted by the look-up table | {:.3f} |\n"
      "| measured end to end, median of {} runs | {:.3f} |\n| p10 - p90 | {:.3f} - {:.3f} "
      "|\n\nTarget:\n\n",
      package.latency_budget_us / 1000, package.latency_lut_us / 1000, package.measured.runs,
      package.measured.median_us / 1000, package.measured.p10_us / 1000,
      package.measured.p90_us / 1000);
  for (const auto& [name, value] : package.target.Fields())
    text += fmt::format("- {}: {}\n", name, Escape(value));
  return text;
}

std::string RunSection(const Package& package) {
  const net::Shape& input = package.network.input;
  const auto list = [&](const std::array<float, 3>& values) {
    std::string text;
    for (int i = 0; i < input.c; ++i)
      text += fmt::format("{}{}", i ? ", " : "", values[static_cast<size_t>(i)]);
    return text;
  };
  return fmt::format(
      "```python\nimport numpy, openvino\nfrom PIL import Image\n\n"
      "picture = Image.open(\"picture.png\").convert(\"{}\").resize(({}, {}))\n"
      "pixels = numpy.asarray(picture, dtype=numpy.float32).reshape({}, {}, {}) / 255\n"
      "pixels = (pixels - numpy.array([{}], dtype=numpy.float32)) / numpy.array([{}], "
      "dtype=numpy.float32)\n"
      "model = openvino.compile_model(\"model.onnx\", \"CPU\", {{\"INFERENCE_PRECISION_HINT\": "
      "\"f32\"}})\n"
      "logits = model(pixels.transpose(2, 0, 1)[None])[0][0]\nprint(logits.argmax())\n```\n",
      input.c == 1 ? "L" : "RGB", input.w, input.h, input.h, input.w, input.c,
      list(package.preprocessing.mean), list(package.preprocessing.std));
}

std::string Card(const Package& package,
                 const std::vector<std::pair<std::string, std::string>>& files) {
  const net::Costs costs = net::Count(package.network);
  const Verification& check = package.verification;
  const auto [low, high] = WilsonInterval(check.accuracy_exported(), check.images);
  std::string card =
      fmt::format("# {}\n\nAn image classifier for {} x {} pixels and {} classes, from {}.\n\n",
                  Escape(package.network.name), package.network.input.h, package.network.input.w,
                  package.network.num_classes(), Escape(package.origin));
  card += fmt::format(
      "## Accuracy\n\nTop-1 on the {} test images of {}: **{:.2f} %** (95 % interval {:.2f} - "
      "{:.2f} %).\n\n"
      "Verified: `model.onnx` in the engine against the trained model, image by image: {} of {} "
      "top-1 answers differ, the "
      "largest logit difference is {:.1e}, {} and {} images are right.\n\n",
      check.images, Escape(package.data_name), 100 * check.accuracy_exported(), 100 * low,
      100 * high, check.disagreements, check.images, check.max_difference, check.correct_exported,
      check.correct_trained);
  card += fmt::format("## Latency\n\n{}\n", LatencySection(package));
  card += fmt::format("## Size\n\n{} parameters, {} multiply-accumulates.\n\n",
                      FormatCount(costs.params), FormatCount(costs.macs));
  card += fmt::format(
      "## Input and output\n\n`image`: float32, 1 x {} x {} x {}; `(pixel / 255 - mean) / std` "
      "with `{}`.\n\n"
      "`logits`: float32, 1 x {}, one per class:\n\n",
      package.network.input.c, package.network.input.h, package.network.input.w,
      data::ToJson(package.preprocessing), package.network.num_classes());
  for (size_t i = 0; i < package.class_names.size(); ++i) {
    card += fmt::format("{}. {}\n", i, Escape(package.class_names[i]));
  }
  card +=
      fmt::format("\n## Run it\n\n{}\n## Files\n\n| file | bytes | FNV-1a 64 |\n|---|---:|---|\n",
                  RunSection(package));
  for (const auto& [name, content] : files) {
    card += fmt::format("| {} | {} | `{:016x}` |\n", name,
                        FormatCount(static_cast<int64_t>(content.size())), HashBytes(content));
  }
  card += fmt::format(
      "\n## How it was made\n\nSeed {}. Reproduce "
      "with\n\n```\n{}\n```\n\nRecipe:\n\n```toml\n{}```\n",
      package.seed, package.command, package.recipe_toml);
  return card;
}

}  // namespace

void WritePackage(const fs::path& folder, const Package& package, const std::string& onnx_bytes) {
  const std::string network = net::ToJson(package.network);
  net::Weights weights = package.weights;
  weights.metadata["preprocessing"] = data::ToJson(package.preprocessing);
  weights.metadata["classes"] = nlohmann::json(package.class_names)
                                    .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);

  const fs::path fresh = folder.parent_path() / ("." + folder.filename().string() + ".new");
  const fs::path old = folder.parent_path() / ("." + folder.filename().string() + ".old");
  fs::remove_all(fresh);
  fs::remove_all(old);
  MakeFolder(fresh);
  try {
    net::WriteSafetensors(fresh / "weights.safetensors", weights);
    WriteFileAtomically(fresh / "network.json", network);
    WriteFileAtomically(fresh / "model.onnx", onnx_bytes);
    WriteFileAtomically(
        fresh / "card.md",
        Card(package, {{"model.onnx", onnx_bytes},
                       {"network.json", network},
                       {"weights.safetensors", ReadFile(fresh / "weights.safetensors")}}));
    if (fs::exists(folder)) fs::rename(folder, old);
    fs::rename(fresh, folder);
    fs::remove_all(old);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(fresh);
    throw Error(ErrorKind::kIo, "{}: cannot write the package: {}", folder.string(),
                error.code().message());
  } catch (...) {
    fs::remove_all(fresh);
    throw;
  }
}

}  // namespace lathe::deploy
