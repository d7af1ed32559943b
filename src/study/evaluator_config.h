// [evaluator] of a study file: what a trial does. trial.json has the same table, so that the
// trial's process knows it, too.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace lathe::study {

struct EvaluatorConfig {
  // The program and its arguments, with placeholders; empty: Lathe trains by itself.
  std::vector<std::string> command;
  std::filesystem::path folder;                    // where the program runs; absolute
  std::map<std::string, std::string> environment;  // added to Lathe's own
  bool onnx = false;                               // whether it gets the network as ONNX, too

  bool HasProgram() const { return !command.empty(); }
};

// What a command may name in braces. {onnx} only where the program gets one.
inline constexpr std::array<std::string_view, 12> kPlaceholders = {
    "network", "out",  "job",     "kind",      "number", "seed",
    "epochs",  "data", "threads", "processes", "split",  "onnx"};

// Throws kInput for a command that could not be started: without words, with unknown placeholders,
// with what only a shell understands. `file`: whose folder the program runs in by default.
EvaluatorConfig ReadEvaluator(const Config& table, const std::filesystem::path& file);
// The [evaluator] table that reads back the same.
std::string ToToml(const EvaluatorConfig& config);

}  // namespace lathe::study
