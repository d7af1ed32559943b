// From trained weights to a folder that a user can ship: network, weights, ONNX files, examples, a
// model repository for Triton, and a card that says what it is worth. A folder appears whole or not
// at all.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "deploy/quantize_model.h"
#include "deploy/verify.h"
#include "engine/engine.h"
#include "net/network.h"
#include "net/weights.h"

namespace lathe::deploy {

// The network as it ran in the engine in one precision.
struct Variant {
  engine::Precision precision = engine::Precision::kF32;
  std::string file;  // of the package: kModelFile or kInt8File
  engine::Timing measured;
  Verification verification;
};
inline constexpr const char* kModelFile = "model.onnx";
inline constexpr const char* kInt8File = "model-int8.onnx";

// What it took to find the network.
struct SearchCost {
  int trials = 0;
  double search_seconds = 0, training_seconds = 0;  // of all trials; of this network, in full
};

struct Package {
  net::Network network;
  net::Weights weights;
  data::Preprocessing preprocessing;
  std::vector<std::string> class_names;
  engine::Fingerprint target;
  // What ran the files to verify them, where the target's engine cannot.
  std::optional<engine::Fingerprint> read_by;
  double latency_budget_us = 0, latency_lut_us = 0;
  engine::Timing measured;                        // of the target's file, by itself
  std::vector<Variant> variants;                  // the one for the target first; timed in turns
  std::optional<QuantizedModel> quantized;        // of kInt8File
  std::map<std::string, std::string> onnx_files;  // by name; the very bytes that were verified
  std::string triton_onnx;  // the target's file for any batch; empty: no model repository
  std::string origin;       // "trial 17 of study fashion-mnist" or "zoo mobilenet_v2@28x0.5"
  std::string data_name, recipe_toml, command;  // command: what reproduces it
  SearchCost cost;
  uint64_t seed = 0;

  const Variant& deployed() const { return variants.front(); }
};

// Writes network.json, weights.safetensors, the ONNX files, examples/, triton/ and card.md into
// `folder` (built under a temporary name, then renamed).
void WritePackage(const std::filesystem::path& folder, const Package& package);

}  // namespace lathe::deploy
