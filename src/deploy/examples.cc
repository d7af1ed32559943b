#include "deploy/examples.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "deploy/classify_cc.h"
#include "deploy/classify_cmake.h"
#include "deploy/classify_py.h"
#include "deploy/triton_config.h"

namespace lathe::deploy {
namespace {

// A string literal of Python and of C++. Names come from folders on a user's disk: control
// characters, whose escapes differ, become spaces.
std::string Quote(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string FirstOf(const std::array<float, 3>& values, int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i)
    texts.push_back(fmt::format("{}", values[static_cast<size_t>(i)]));
  return fmt::format("{}", fmt::join(texts, ", "));
}

// `text` with @NAME@ replaced by its value, and none of what was put in replaced again.
std::string Fill(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string filled;
  while (!text.empty()) {
    const size_t begin = text.find('@');
    filled += text.substr(0, begin);
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin + 1);
    const size_t end = text.find('@');
    filled += values.at(std::string(text.substr(0, end)));
    text.remove_prefix(end + 1);
  }
  return filled;
}

}  // namespace

std::string TritonName(const Package& package) {
  std::string name = package.network.name;
  std::ranges::replace_if(
      name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_'; }, '_');
  return name;
}

std::map<std::string, std::string> ExampleFiles(const Package& package) {
  const data::Preprocessing& preprocessing = package.preprocessing;
  const int channels = package.network.input.c;
  std::vector<std::string> quoted;
  std::string labels;
  for (const std::string& name : package.class_names) {
    quoted.push_back(Quote(name));
    labels += quoted.back().substr(1, quoted.back().size() - 2) + "\n";
  }
  const Variant& deployed = package.deployed();
  // int8 stands in the file itself; what is left of it in float is f32.
  const engine::Precision hint =
      deployed.precision == engine::Precision::kInt8 ? engine::Precision::kF32 : deployed.precision;
  const std::map<std::string, std::string> values = {
      {"FILE", deployed.file},
      {"NAME", TritonName(package)},
      {"SIZE", std::to_string(preprocessing.resolution)},
      {"SIDE", std::to_string(std::lround(preprocessing.resolution / preprocessing.crop))},
      {"CHANNELS", std::to_string(channels)},
      {"MODE", channels == 1 ? "L" : "RGB"},
      {"MEAN", FirstOf(preprocessing.mean, channels)},
      {"STD", FirstOf(preprocessing.std, channels)},
      {"CLASSES", fmt::format("{}", fmt::join(quoted, ", "))},
      {"COUNT", std::to_string(package.network.num_classes())},
      {"HINT", std::string(engine::Name(hint))}};
  std::map<std::string, std::string> files = {
      {"examples/classify.py", Fill(ClassifyPy(), values)},
      {"examples/classify.cc", Fill(ClassifyCc(), values)},
      {"examples/CMakeLists.txt", std::string(ClassifyCmake())}};
  if (!package.triton_onnx.empty()) {
    const std::string folder = "triton/" + TritonName(package) + "/";
    files[folder + "config.pbtxt"] = Fill(TritonConfig(), values);
    files[folder + "labels.txt"] = labels;
    files[folder + "1/model.onnx"] = package.triton_onnx;
  }
  return files;
}

}  // namespace lathe::deploy
