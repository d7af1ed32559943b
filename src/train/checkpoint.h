// Everything a training needs to go on as if it had never stopped. One safetensors file. Private to
// this module.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "net/weights.h"
#include "train/trainer.h"

namespace lathe::train {

struct Checkpoint {
  std::string fingerprint;  // of network, recipe, preprocessing, data size and seed
  int64_t step = 0;         // finished steps
  double seconds = 0;
  double loss_sum = 0;  // over the running epoch's steps
  std::vector<EpochMetrics> epochs;
  std::vector<std::vector<float>> vectors;  // Stepper::Memory(), then the best weights if kept
};

void WriteCheckpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

// Throws kInput for a file that is damaged or whose fingerprint is another.
Checkpoint ReadCheckpoint(const std::filesystem::path& path, const std::string& fingerprint);

}  // namespace lathe::train
