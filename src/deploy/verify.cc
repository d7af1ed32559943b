// Comparing an exported model in its engine with the trained one, image by image.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "data/layout.h"
#include "deploy/package.h"

namespace lathe::deploy {
namespace {

int64_t TopOne(std::span<const float> logits) {
  return std::ranges::max_element(logits) - logits.begin();
}

}  // namespace

Verification Verify(const LogitsFunction& trained, engine::CompiledModel& exported,
                    std::shared_ptr<const data::Dataset> dataset,
                    const data::Preprocessing& preprocessing, int64_t limit) {
  const size_t classes = dataset->class_names().size();
  data::Loader loader(
      std::move(dataset),
      {.preprocessing = preprocessing, .augmentation = {}, .batch = 250, .training = false});
  loader.StartEpoch(0);
  Verification result;
  data::Batch batch;
  std::vector<float> nchw;
  while ((limit == 0 || result.images < limit) && loader.Next(batch)) {
    data::ToNchw(batch.images, batch.count, preprocessing, nchw);
    const std::vector<float> expected = trained(batch.images, batch.count);
    const std::vector<float> found = exported.Run(nchw, batch.count);
    const size_t wanted = classes * static_cast<size_t>(batch.count);
    if (expected.size() != wanted || found.size() != wanted) {
      throw Error(ErrorKind::kInput,
                  "verification: the data set has {} classes, the trained model gives {} and the "
                  "exported one {}",
                  classes, expected.size() / static_cast<size_t>(batch.count),
                  found.size() / static_cast<size_t>(batch.count));
    }
    for (size_t image = 0;
         image < static_cast<size_t>(batch.count) && (limit == 0 || result.images < limit);
         ++image) {
      const std::span<const float> a(expected.data() + image * classes, classes);
      const std::span<const float> b(found.data() + image * classes, classes);
      for (size_t i = 0; i < classes; ++i) {
        const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        // NaN compares false with everything; it must never look like agreement.
        result.max_difference = std::isnan(difference)
                                    ? std::numeric_limits<double>::infinity()
                                    : std::max(result.max_difference, difference);
      }
      const int64_t label = batch.labels[image];
      result.disagreements += TopOne(a) != TopOne(b) ? 1 : 0;
      result.correct_trained += TopOne(a) == label ? 1 : 0;
      result.correct_exported += TopOne(b) == label ? 1 : 0;
      ++result.images;
    }
  }
  return result;
}

std::string Complaint(const Verification& verification, const Tolerance& tolerance) {
  if (verification.images == 0) return "no image was compared";
  if (!(verification.max_difference <= tolerance.max_difference)) {
    return fmt::format("logits differ by up to {:.2e}, allowed are {:.2e}",
                       verification.max_difference, tolerance.max_difference);
  }
  const double share =
      static_cast<double>(verification.disagreements) / static_cast<double>(verification.images);
  if (share > tolerance.disagreement_share) {
    return fmt::format("top-1 differs on {} of {} images, allowed are {:g} %",
                       verification.disagreements, verification.images,
                       100 * tolerance.disagreement_share);
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
