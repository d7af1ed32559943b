// A network whose answers another one learns (knowledge distillation): any network with weights, or
// an ONNX file that an engine runs. Several threads may ask at once.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "data/loader.h"
#include "engine/engine.h"
#include "net/network.h"
#include "net/weights.h"

namespace lathe::train {

class Teacher {
 public:
  virtual ~Teacher() = default;
  // The images it wants, which need not be the student's; they are resized and renormalised for it.
  virtual const data::Preprocessing& preprocessing() const = 0;
  // Images NHWC; returns logits, count x classes.
  virtual std::vector<float> Logits(std::span<const float> images, int count) = 0;
};

// Trained by Lathe. Throws kInput for weights that do not fit.
std::unique_ptr<Teacher> MakeTeacher(const net::Network& network, const net::Weights& weights,
                                     const data::Preprocessing& preprocessing, int threads);

// Anything an engine runs, with images of this preprocessing.
std::unique_ptr<Teacher> MakeTeacher(std::unique_ptr<engine::CompiledModel> model,
                                     const data::Preprocessing& preprocessing);

}  // namespace lathe::train
