// An exported file in its engine against the trained model, image by image.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "engine/engine.h"
#include "onnx/export.h"

namespace lathe::deploy {

// Logits of the trained model for NHWC images.
using LogitsFunction = std::function<std::vector<float>(std::span<const float> nhwc, int count)>;

struct Verification {
  int64_t images = 0;
  double max_difference = 0;  // largest absolute difference of a logit
  // The same relative to the image's largest absolute logit, or to 1 where all are smaller.
  double max_relative = 0;
  // What the trained model itself makes of changes in the last bits of its images, as max_relative:
  // how ill-conditioned it is.
  double rounding = 0;
  int64_t disagreements = 0;  // images whose top-1 differs
  int64_t correct_trained = 0, correct_exported = 0;
  double accuracy_trained() const { return Share(correct_trained); }
  double accuracy_exported() const { return Share(correct_exported); }
  double agreement() const { return Share(images - disagreements); }

 private:
  double Share(int64_t count) const {
    return images ? static_cast<double>(count) / static_cast<double>(images) : 0;
  }
};

struct ExportedModel {
  engine::CompiledModel* model = nullptr;
  onnx::FileForm form = {};
};

// What it answers to a batch of the loader: [count x classes], in its form.
std::vector<float> Run(const ExportedModel& exported, const data::Batch& batch,
                       const data::Preprocessing& preprocessing);
// Softmax of one image's logits, in place.
void ToProbabilities(std::span<float> logits);

// Runs the trained model, and each of the exported ones, on every image of `dataset` (at most
// `limit`, 0: all). Throws kInput when their numbers of classes differ. Probabilities are compared
// as such.
std::vector<Verification> Verify(const LogitsFunction& trained,
                                 const std::vector<ExportedModel>& exported,
                                 std::shared_ptr<const data::Dataset> dataset,
                                 const data::Preprocessing& preprocessing, int64_t limit = 0);

// What is allowed; none: anything.
struct Tolerance {
  // Rounding errors grow with the logits, hence relative. Of logits this close only classes as good
  // as tied change places. A network that is hardly trained may magnify rounding errors a thousand
  // times; AllowedRelative() takes that into account.
  std::optional<double> max_relative = {};
  std::optional<double> max_drop = {};  // of accuracy, beyond what chance explains (95 %)
};
// The tolerance, but at least a hundred times what the network makes of its images' last bits
// (every layer rounds, and rounds sums), up to 0.05.
double AllowedRelative(const Verification& verification, double max_relative);
// Logits within 1e-3 for f32; for precisions that round every value, accuracy within half a point.
Tolerance ToleranceOf(engine::Precision precision);

// Empty when within tolerance, else one line saying what is outside and by how much. Logits that
// are not finite never are within.
std::string Complaint(const Verification& verification, const Tolerance& tolerance);

// The index of the largest value.
int64_t TopOne(std::span<const float> logits);

// 95 % Wilson interval of an accuracy over `images` images.
std::pair<double, double> WilsonInterval(double accuracy, int64_t images);

}  // namespace lathe::deploy
