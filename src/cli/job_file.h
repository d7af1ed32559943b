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

class JobFile {
 public:
  // Of the trial in `folder`, an absolute path. `config`: TrialSpec::config_toml. `onnx`: whether
  // the program gets network.onnx.
  JobFile(const std::filesystem::path& folder, const study::TrialSpec& spec, const Config& config,
          bool onnx);
  double epochs() const { return epochs_; }
  const JobValues& values() const { return values_; }
  void Write() const;
  bool Written() const;  // by any process

 private:
  const std::filesystem::path file_;
  double epochs_ = 0;
  JobValues values_;
  std::string content_;
};

}  // namespace lathe::cli
