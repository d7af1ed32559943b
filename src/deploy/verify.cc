#include "deploy/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "data/layout.h"

namespace lathe::deploy {
namespace {

// Undoes the loader's normalisation, exactly: pixels are whole numbers.
void ToPixels(std::span<const float> nhwc, const data::Preprocessing& preprocessing,
              std::vector<float>& pixels) {
  const auto channels = static_cast<size_t>(preprocessing.channels);
  pixels.resize(nhwc.size());
  for (size_t i = 0; i < nhwc.size(); ++i) {
    const float mean = preprocessing.mean[i % channels], std = preprocessing.std[i % channels];
    pixels[i] = std::clamp(std::nearbyint(255 * (nhwc[i] * std + mean)), 0.0f, 255.0f);
  }
}

void ToProbabilities(std::span<float> logits) {
  const float most = *std::ranges::max_element(logits);
  float sum = 0;
  for (float& value : logits) sum += value = std::exp(value - most);
  for (float& value : logits) value /= sum;
}

// Adds one image's logits.
void Compare(std::span<const float> trained, std::span<const float> exported, int64_t label,
             Verification& result) {
  double scale = 1;
  for (const float logit : trained)
    scale = std::max(scale, static_cast<double>(std::abs(logit)));
  for (size_t i = 0; i < trained.size(); ++i) {
    const double difference =
        std::abs(static_cast<double>(trained[i]) - static_cast<double>(exported[i]));
    // NaN compares false with everything; it must never look like agreement.
    const double counted =
        std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
    result.max_difference = std::max(result.max_difference, counted);
    result.max_relative = std::max(result.max_relative, counted / scale);
  }
  const int64_t first = TopOne(trained), second = TopOne(exported);
  result.disagreements += first != second ? 1 : 0;
  result.correct_trained += first == label ? 1 : 0;
  result.correct_exported += second == label ? 1 : 0;
  ++result.images;
}

// Of one batch, `count` images of which count.
void CompareBatch(const data::Batch& batch, const ExportedModel& exported, size_t classes,
                  int64_t count, const data::Preprocessing& preprocessing,
                  std::vector<float> expected, Verification& result) {
  std::vector<float> input;
  if (exported.form.pixels) {
    ToPixels(batch.images, preprocessing, input);
  } else {
    data::ToNchw(batch.images, batch.count, preprocessing, input);
  }
  const std::vector<float> found = exported.model->Run(input, batch.count);
  const size_t wanted = classes * static_cast<size_t>(batch.count);
  if (expected.size() != wanted || found.size() != wanted) {
    throw Error(ErrorKind::kInput,
                "verification: the data set has {} classes, the trained model gives {} and the "
                "exported one {}",
                classes, expected.size() / static_cast<size_t>(batch.count),
                found.size() / static_cast<size_t>(batch.count));
  }
  for (size_t image = 0; image < static_cast<size_t>(count); ++image) {
    const std::span<float> logits = std::span(expected).subspan(image * classes, classes);
    if (exported.form.softmax) ToProbabilities(logits);
    Compare(logits, std::span(found).subspan(image * classes, classes), batch.labels[image],
            result);
  }
}

}  // namespace

int64_t TopOne(std::span<const float> logits) {
  return std::ranges::max_element(logits) - logits.begin();
}

std::vector<Verification> Verify(const LogitsFunction& trained,
                                 const std::vector<ExportedModel>& exported,
                                 std::shared_ptr<const data::Dataset> dataset,
                                 const data::Preprocessing& preprocessing, int64_t limit) {
  const size_t classes = dataset->class_names().size();
  if (limit == 0) limit = dataset->size();
  data::Loader loader(
      std::move(dataset),
      {.preprocessing = preprocessing, .augmentation = {}, .batch = 250, .training = false});
  loader.StartEpoch(0);
  std::vector<Verification> results(exported.size());
  data::Batch batch;
  for (int64_t seen = 0; seen < limit && loader.Next(batch); seen += batch.count) {
    const std::vector<float> expected = trained(batch.images, batch.count);
    for (size_t i = 0; i < exported.size(); ++i) {
      CompareBatch(batch, exported[i], classes, std::min<int64_t>(batch.count, limit - seen),
                   preprocessing, expected, results[i]);
    }
  }
  return results;
}

Tolerance ToleranceOf(engine::Precision precision) {
  if (precision == engine::Precision::kF32) return {.max_relative = 1e-3};
  return {.max_drop = 0.005};
}

std::string Complaint(const Verification& verification, const Tolerance& tolerance) {
  if (verification.images == 0) return "no image was compared";
  if (std::isinf(verification.max_difference)) return "some of its logits are not finite";
  if (tolerance.max_relative && verification.max_relative > *tolerance.max_relative) {
    return fmt::format(
        "logits differ by up to {:.2e} of the largest ({:.2e} in all), allowed are {:.2e}",
        verification.max_relative, verification.max_difference, *tolerance.max_relative);
  }
  // Images whose answers differ get better or worse like coins that fall; few images say little.
  constexpr double kOneSided = 1.645;
  const double chance = kOneSided * std::sqrt(static_cast<double>(verification.disagreements)) /
                        static_cast<double>(verification.images);
  const double drop =
      verification.accuracy_trained() - verification.accuracy_exported() - chance;
  if (tolerance.max_drop && drop > *tolerance.max_drop) {
    return fmt::format("accuracy drops from {:.2f} % to {:.2f} %, allowed are {:g} points",
                       100 * verification.accuracy_trained(),
                       100 * verification.accuracy_exported(), 100 * *tolerance.max_drop);
  }
  return "";
}

std::pair<double, double> WilsonInterval(double accuracy, int64_t images) {
  if (images <= 0) return {0.0, 1.0};
  constexpr double kZ = 1.959963984540054;  // 97.5 % quantile of the standard normal
  const auto n = static_cast<double>(images);
  const double centre = (accuracy + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half =
      kZ / (1 + kZ * kZ / n) * std::sqrt(accuracy * (1 - accuracy) / n + kZ * kZ / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

}  // namespace lathe::deploy
