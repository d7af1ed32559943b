#include "study/evaluator_config.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/quote.h"
#include "study/command_line.h"
#include "study/config_writer.h"

namespace lathe::study {
namespace {

constexpr std::array<std::string_view, 2> kKinds = {"train", "command"};

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Gives the errors of `read`, which know no position, that of the command.
template <typename Read>
auto AtCommand(const Config& table, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    table.Fail("command", error.what());
  }
}

std::vector<std::string> ReadCommand(const Config& table) {
  if (table.TypeOf("command") != Config::Type::kString) return table.Strings("command");
  const std::string text = table.String("command");
  return AtCommand(table, [&] { return SplitWords(text); });
}

void CheckCommand(const Config& table, const EvaluatorConfig& config) {
  std::map<std::string, std::string> values;
  for (const std::string_view name : kPlaceholders) values[std::string(name)] = "";
  for (const std::string& word : config.command) {
    if (HasNul(word)) table.Fail("command", "has a NUL character, which no argument can have");
    const auto filled = [&](const std::string& onnx) {
      values["onnx"] = onnx;
      return AtCommand(table, [&] { return FillIn(word, values); });
    };
    if (filled("") != filled("x") && !config.onnx)
      table.Fail("command", "{onnx} needs onnx = true");
  }
  if (config.command.empty() || config.command[0].empty())
    table.Fail("command", "names no program");
  const std::string& program = config.command[0];
  if (program.find('=') < program.find('/')) {
    table.Fail("command", fmt::format("begins with '{}', which is no program; variables stand in "
                                      "environment = {{ NAME = \"value\" }}",
                                      program));
  }
}

std::map<std::string, std::string> ReadEnvironment(const Config& table) {
  std::map<std::string, std::string> environment;
  for (const std::string& name : table.Keys()) {
    environment[name] = table.String(name);
    if (name.empty() || name.find('=') != std::string::npos || HasNul(name))
      table.Fail(name, "is no name of an environment variable");
    if (HasNul(environment[name]))
      table.Fail(name, "has a NUL character, which no variable can have");
  }
  table.Finish();
  return environment;
}

}  // namespace

EvaluatorConfig ReadEvaluator(const Config& table, const fs::path& file) {
  EvaluatorConfig config;
  const bool trains = table.Choice("kind", kKinds, std::string(kKinds[0])) == kKinds[0];
  config.onnx = table.Bool("onnx", false);
  config.folder = table.Path("folder", fs::absolute(file).parent_path().string());
  config.environment = ReadEnvironment(table.Table("environment"));
  config.command = ReadCommand(table);
  table.Finish();
  if (!trains) {
    CheckCommand(table, config);
    return config;
  }
  for (const char* key : {"command", "folder", "environment", "onnx"}) {
    if (table.Has(key)) table.Fail(key, "has a meaning with kind = \"command\" only");
  }
  return {};
}

std::string ToToml(const EvaluatorConfig& config) {
  std::string text = "[evaluator]\n";
  if (!config.HasProgram()) return text + "kind = \"train\"\n";
  std::vector<std::string> words, variables;
  for (const std::string& word : config.command) words.push_back(TomlQuoted(word));
  for (const auto& [name, value] : config.environment)
    variables.push_back(TomlQuoted(name) + " = " + TomlQuoted(value));
  text += fmt::format("kind = \"command\"\ncommand = [{}]\nfolder = {}\nonnx = {}\n",
                      fmt::join(words, ", "), TomlQuoted(config.folder.string()), config.onnx);
  if (!variables.empty())
    text += fmt::format("environment = {{ {} }}\n", fmt::join(variables, ", "));
  return text;
}

}  // namespace lathe::study
