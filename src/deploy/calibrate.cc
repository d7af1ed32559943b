#include "deploy/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace lathe::deploy {
namespace {

constexpr int kBatch = 32;

// Calls use(node name, values {count, h, w, c}, channels) for the images and every node's output.
template <typename Use>
void Observe(const net::Network& network, train::TrainedModel& model,
             const std::shared_ptr<const data::Dataset>& dataset,
             const data::Preprocessing& preprocessing, Use use) {
  data::Loader loader(
      dataset,
      {.preprocessing = preprocessing, .augmentation = {}, .batch = kBatch, .training = false});
  data::Batch batch;
  loader.StartEpoch(0);
  while (loader.Next(batch)) {
    const auto image_channels = static_cast<size_t>(network.input.c);
    use(std::string(onnx::kImageName), std::span<const float>(batch.images), image_channels);
    model.Logits(batch.images, batch.count,
                 [&](const net::Node& node, std::span<const float> values) {
                   use(node.name, values, static_cast<size_t>(node.out.c));
                 });
  }
}

struct Sums {
  std::vector<double> channels;
  double rows = 0;
};

}  // namespace

onnx::Ranges Calibration::RangesBy(RangeMethod method) const {
  onnx::Ranges ranges;
  for (const auto& [name, distribution] : distributions)
    ranges[name] = ChooseRange(distribution, method);
  return ranges;
}

Calibration Calibrate(const net::Network& network, train::TrainedModel& model,
                      std::shared_ptr<const data::Dataset> dataset,
                      const data::Preprocessing& preprocessing, int64_t images) {
  const std::shared_ptr<const data::Dataset> chosen = data::Spread(std::move(dataset), images);
  Calibration calibration;
  for (const std::string& name : onnx::QuantizedNodes(net::Lower(network))) {
    constexpr float kMost = std::numeric_limits<float>::max();
    calibration.distributions[name].range = {.low = kMost, .high = -kMost};
  }
  const auto find = [&](const std::string& name) {
    const auto found = calibration.distributions.find(name);
    return found == calibration.distributions.end() ? nullptr : &found->second;
  };

  std::map<std::string, Sums> sums;
  Observe(network, model, chosen, preprocessing,
          [&](const std::string& name, std::span<const float> values, size_t channels) {
            Distribution* const distribution = find(name);
            if (distribution == nullptr) return;
            const auto [low, high] = std::ranges::minmax_element(values);
            onnx::Range& range = distribution->range;
            range = {.low = std::min(range.low, *low), .high = std::max(range.high, *high)};
            Sums& sum = sums[name];
            sum.channels.resize(channels);
            for (size_t i = 0; i < values.size(); ++i)
              sum.channels[i % channels] += static_cast<double>(values[i]);
            sum.rows += static_cast<double>(values.size() / channels);
          });
  for (const auto& [name, sum] : sums) {
    std::vector<double>& means = calibration.means[name];
    for (const double channel : sum.channels) means.push_back(channel / sum.rows);
    if (std::ranges::all_of(means, [](double mean) { return std::isfinite(mean); })) continue;
    throw Error(ErrorKind::kInput,
                "calibration: the output of '{}' is not finite on the calibration images; the "
                "weights are of a training that failed, or the images are not what they want",
                name);
  }
  Observe(network, model, chosen, preprocessing,
          [&](const std::string& name, std::span<const float> values, size_t) {
            Distribution* const distribution = find(name);
            if (distribution == nullptr) return;
            for (const float value : values) distribution->Count(value);
          });
  return calibration;
}

}  // namespace lathe::deploy
