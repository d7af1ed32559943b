// What the user's own training program is told: job.json in the folder of each trial, split.json
// beside study.toml. docs/own-trainer.md describes both.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/config.h"
#include "data/dataset.h"
#include "study/trial.h"

namespace lathe::cli {

// The classes, and which images are held back. `file` is written.
void WriteSplit(const std::filesystem::path& file, const data::Splits& splits);

// Placeholders of a command and what they stand for.
using JobValues = std::map<std::string, std::string>;

// Writes job.json into `folder`. `config`: of the trial, TrialSpec::config_toml. `onnx`: whether
// the folder has network.onnx.
JobValues WriteJob(const std::filesystem::path& folder, const study::TrialSpec& spec,
                   const Config& config, bool onnx);

}  // namespace lathe::cli
