// Int8 for a trained network: calibration, the choice of ranges, and which layers stay in float.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "deploy/ranges.h"
#include "engine/engine.h"
#include "net/network.h"
#include "net/weights.h"
#include "onnx/quantize.h"
#include "train/trainer.h"

namespace lathe::deploy {

struct QuantizeOptions {
  std::optional<RangeMethod> method = {};  // none: whichever changes the logits least
  onnx::ActivationType activations = onnx::ActivationType::kUint8;
  int64_t images = 300;     // to calibrate with
  double max_drop = 0.005;  // of accuracy, on up to kTuningImages images
};

struct LayerSensitivity {
  int layer = 0;
  // With this layer alone in int8: mean square of what changes in the logits, relative to their
  // variance.
  double error = 0;
};

struct QuantizedModel {
  onnx::Quantization quantization;
  RangeMethod method = RangeMethod::kMinMax;
  double error = 0;                           // as of LayerSensitivity, of the final model
  std::vector<LayerSensitivity> sensitivity;  // of every layer, most sensitive first
  int64_t images = 0;                         // that these were compared on
  double accuracy_float = 0, accuracy_int8 = 0;
  bool holds = false;  // accuracy drops by no more than asked
};

// Calibrates and judges on images of `dataset`, which should be the training images: ranges, and
// bias correction or none, are what changes the logits least. While accuracy drops by more than
// asked, the layer that is most sensitive stays in float, then the next one. `engine` compiles
// int8. Blocking; takes a compilation per layer. Throws kInput when the classes do not fit.
QuantizedModel QuantizeModel(const net::Network& network, const net::Weights& weights,
                             train::TrainedModel& trained, engine::Engine& engine,
                             std::shared_ptr<const data::Dataset> dataset,
                             const data::Preprocessing& preprocessing,
                             const QuantizeOptions& options);

}  // namespace lathe::deploy
