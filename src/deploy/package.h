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
#include "engine/engine.h"
#include "net/network.h"
#include "net/weights.h"

namespace lathe::deploy {

// Logits of the trained model for NHWC images.
using LogitsFunction = std::function<std::vector<float>(std::span<const float> nhwc, int count)>;

struct Verification {
  int64_t images = 0;
  double max_difference = 0;  // largest absolute logit difference
  int64_t disagreements = 0;  // images whose top-1 differs
  int64_t correct_trained = 0, correct_exported = 0;
  double accuracy_trained() const {
    return images ? static_cast<double>(correct_trained) / static_cast<double>(images) : 0;
  }
  double accuracy_exported() const {
    return images ? static_cast<double>(correct_exported) / static_cast<double>(images) : 0;
  }
};
struct Tolerance {
  double max_difference = 1e-3;
  double disagreement_share = 5e-4;  // 5 images of 10,000
};
// Runs both on every image of `dataset` (at most `limit`, 0: all).
Verification Verify(const LogitsFunction& trained, engine::CompiledModel& exported,
                    std::shared_ptr<const data::Dataset> dataset,
                    const data::Preprocessing& preprocessing, int64_t limit = 0);
// Empty when within tolerance, else one line saying what is outside and by how much.
std::string Complaint(const Verification& verification, const Tolerance& tolerance = {});

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

// 95 % Wilson interval of an accuracy over `images` images.
std::pair<double, double> WilsonInterval(double accuracy, int64_t images);

}  // namespace lathe::deploy
