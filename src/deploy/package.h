// From trained weights to files a user can ship: ONNX export, verification of that very file
// against the trained model, and the finalist's folder with its card. A folder appears whole or not
// at all.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/loader.h"
#include "deploy/verify.h"
#include "engine/engine.h"
#include "net/network.h"
#include "net/weights.h"

namespace lathe::deploy {

struct Package {
  net::Network network;
  net::Weights weights;
  data::Preprocessing preprocessing;
  std::vector<std::string> class_names;
  engine::Fingerprint target;
  double latency_budget_us = 0, latency_lut_us = 0;
  engine::Timing measured;
  Verification verification;
  std::string origin;  // "trial 17 of study fashion-mnist" or "zoo mobilenet_v2@28x0.5"
  std::string data_name, recipe_toml, command;  // command: what reproduces it
  uint64_t seed = 0;
};

// Writes network.json, weights.safetensors, model.onnx, card.md into `folder` (built under a
// temporary name, then renamed). `onnx_bytes` is the file that was verified.
void WritePackage(const std::filesystem::path& folder, const Package& package,
                  const std::string& onnx_bytes);

}  // namespace lathe::deploy
