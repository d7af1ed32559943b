#include "cli/common.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>

#include "base/config.h"
#include "base/error.h"
#include "data/preprocessing_file.h"
#include "engine/backends/fake/fake_engine.h"
#include "engine/backends/openvino/openvino_engine.h"
#include "engine/backends/tensorrt/tensorrt_engine.h"
#include "engine/backends/torch/torch_engine.h"
#include "net/network_file.h"
#include "net/zoo.h"

namespace lathe::cli {
namespace {

using EngineMaker = std::unique_ptr<engine::Engine> (*)(const engine::TargetOptions&);

std::unique_ptr<engine::Engine> MakeFake(const engine::TargetOptions& options) {
  return engine::MakeFakeEngine({.target = options, .noise = 0.01});
}

const std::map<std::string, EngineMaker>& Engines() {
  static const std::map<std::string, EngineMaker> engines = {
      {"openvino", &engine::MakeOpenVinoEngine},
      {"tensorrt", &engine::MakeTensorRtEngine},
      {"torch", &engine::MakeTorchEngine},
      {"fake", &MakeFake},
  };
  return engines;
}

// "GENE=CHOICE,CHOICE": the choices that are left of a gene.
std::pair<std::string, std::vector<int>> ParseRestriction(const space::SearchSpace& space,
                                                          const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    throw Error(ErrorKind::kUsage, "--restrict '{}': give GENE=CHOICE[,CHOICE...]", text);
  }
  const std::string name = text.substr(0, equals);
  const space::Gene& gene = space.genes()[space.GeneIndex(name)];
  std::vector<int> choices;
  for (size_t at = equals + 1; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    choices.push_back(ParseChoice(gene, text.substr(at, end - at)));
    at = end + 1;
  }
  return {name, choices};
}

}  // namespace

void PrintText(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintJson(const nlohmann::ordered_json& json) { PrintText(json.dump(2) + "\n"); }

std::unique_ptr<engine::Engine> MakeEngine(const std::string& name,
                                           const engine::TargetOptions& options) {
  const auto maker = Engines().find(name);
  if (maker != Engines().end()) return maker->second(options);
  std::vector<std::string> names;
  for (const auto& [known, unused] : Engines()) names.push_back(known);
  const std::string nearest = NearestName(name, names);
  throw Error(ErrorKind::kInput, "unknown engine '{}'{}; known: {}", name,
              nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest),
              fmt::join(names, ", "));
}

void AddHeadOptions(CLI::App& command, int& channels, int& classes) {
  command.add_option("--channels", channels, "Channels of the image")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  command.add_option("--classes", classes, "Number of classes")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
}

std::vector<net::Network> ZooAtNativeResolution() {
  std::vector<net::Network> networks;
  for (const net::ZooEntry& entry : net::Zoo()) networks.push_back(net::ZooNetwork(entry.name));
  return networks;
}

space::SearchSpace LoadSpace(const std::string& file, const std::vector<std::string>& restrict) {
  const space::SearchSpace space = space::SearchSpace::Load(file);
  std::map<std::string, std::vector<int>> choices;
  for (const std::string& text : restrict) choices.insert(ParseRestriction(space, text));
  return space.Restrict(choices);
}

void TargetFlags::AddTo(CLI::App& command) {
  command.add_option("--engine", engine, "Inference engine that is timed")->capture_default_str();
  command.add_option("--device", device, "Device of the engine")->capture_default_str();
  command.add_option("--threads", threads, "Threads of one inference")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command.add_option("--batch", batch, "Images per inference")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command.add_option("--precision", precision, "f32, bf16, f16 or int8")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16", "f16", "int8"}));
}

engine::TargetOptions TargetFlags::Options() const {
  return {.threads = threads,
          .batch = batch,
          .precision = engine::ParsePrecision(precision),
          .device = device};
}

space::Encoding ParseEncoding(const std::string& text) {
  space::Encoding encoding;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || (next != end && *next != ',')) {
      throw Error(ErrorKind::kUsage, "'{}' is not a comma-separated list of integers (at '{}')",
                  text, std::string(at, end));
    }
    encoding.push_back(value);
    at = next == end ? end : next + 1;
  }
  return encoding;
}

space::Encoding EncodeNetwork(const space::SearchSpace& space, const net::Network& network) {
  try {
    return space.Encode(network);
  } catch (const Error& error) {
    throw Error(error.kind(), "{}; nearest encoding (as --nearest gives it): {}", error.what(),
                fmt::join(space.Nearest(network), ","));
  }
}

net::Network LoadNetwork(const std::string& file_or_name) {
  std::error_code too_long_a_name;
  if (std::filesystem::exists(file_or_name, too_long_a_name)) return net::ReadNetwork(file_or_name);
  if (file_or_name.find('/') != std::string::npos || file_or_name.ends_with(".json")) {
    throw Error(ErrorKind::kInput, "{}: no such network file", file_or_name);
  }
  return net::ZooNetwork(file_or_name);
}

std::optional<data::Preprocessing> StoredPreprocessing(const net::Weights& weights,
                                                       const std::string& file) {
  const auto stored = weights.metadata.find("preprocessing");
  if (stored == weights.metadata.end()) return std::nullopt;
  return data::ParsePreprocessing(stored->second, file);
}

data::Preprocessing PreprocessingOf(const net::Weights& weights, const std::string& file,
                                    const data::Dataset& train, int resolution) {
  const std::optional<data::Preprocessing> stored = StoredPreprocessing(weights, file);
  return stored ? *stored : data::MeasurePreprocessing(train, resolution);
}

std::string FormatMs(double latency_us) { return fmt::format("{:.3f} ms", latency_us / 1000); }
std::string FormatPercent(double share) { return fmt::format("{:.2f} %", 100 * share); }

}  // namespace lathe::cli
