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

// The largest absolute logit, at least 1.
double ScaleOf(std::span<const float> logits) {
  double scale = 1;
  for (const float logit : logits) scale = std::max(scale, static_cast<double>(std::abs(logit)));
  return scale;
}

double LargestDifference(std::span<const float> a, std::span<const float> b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    // NaN compares false with everything; it must never look like agreement.
    largest = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                     : std::max(largest, difference);
  }
  return largest;
}

// Verification::rounding on the images of `batch`, whose logits are `expected`.
double RoundingOf(const LogitsFunction& trained, const data::Batch& batch,
                  std::span<const float> expected, size_t classes) {
  std::vector<float> images = batch.images;
  for (size_t i = 0; i < images.size(); ++i)
    images[i] *= 1 + (i % 2 == 0 ? 1 : -1) * std::numeric_limits<float>::epsilon();
  const std::vector<float> moved = trained(images, batch.count);
  double rounding = 0;
  for (size_t i = 0; i + classes <= moved.size(); i += classes) {
    const std::span<const float> logits = expected.subspan(i, classes);
    const double change = LargestDifference(logits, std::span(moved).subspan(i, classes));
    if (std::isfinite(change)) rounding = std::max(rounding, change / ScaleOf(logits));
  }
  return rounding;
}

// Adds one image's logits.
void Compare(std::span<const float> trained, std::span<const float> exported, int64_t label,
             Verification& result) {
  const double difference = LargestDifference(trained, exported);
  result.max_difference = std::max(result.max_difference, difference);
  result.max_relative = std::max(result.max_relative, difference / ScaleOf(trained));
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
  const std::vector<float> found = Run(exported, batch, preprocessing);
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

std::vector<float> Run(const ExportedModel& exported, const data::Batch& batch,
                       const data::Preprocessing& preprocessing) {
  std::vector<float> input;
  if (exported.form.pixels) {
    ToPixels(batch.images, preprocessing, input);
  } else {
    data::ToNchw(batch.images, batch.count, preprocessing, input);
  }
  return exported.model->Run(input, batch.count);
}

void ToProbabilities(std::span<float> logits) {
  const float most = *std::ranges::max_element(logits);
  float sum = 0;
  for (float& value : logits) sum += value = std::exp(value - most);
  for (float& value : logits) value /= sum;
}

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
    const double rounding = seen == 0 ? RoundingOf(trained, batch, expected, classes) : 0;
    for (size_t i = 0; i < exported.size(); ++i) {
      results[i].rounding = std::max(results[i].rounding, rounding);
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

double AllowedRelative(const Verification& verification, double max_relative) {
  constexpr double kRoundings = 100, kMost = 0.05;
  return std::max(max_relative, std::min(kMost, kRoundings * verification.rounding));
}

std::string Complaint(const Verification& verification, const Tolerance& tolerance) {
  if (verification.images == 0) return "no image was compared";
  if (std::isinf(verification.max_difference)) return "some of its logits are not finite";
  const double allowed = AllowedRelative(verification, tolerance.max_relative.value_or(INFINITY));
  if (verification.max_relative > allowed) {
    return fmt::format(
        "logits differ by up to {:.2e} of the largest ({:.2e} in all), allowed are {:.2e}",
        verification.max_relative, verification.max_difference, allowed);
  }
  // Images whose answers differ get better or worse like coins that fall; few images say little.
  constexpr double kOneSided = 1.645;
  const double chance = kOneSided * std::sqrt(static_cast<double>(verification.disagreements)) /
                        static_cast<double>(verification.images);
  const double drop = verification.accuracy_trained() - verification.accuracy_exported() - chance;
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
