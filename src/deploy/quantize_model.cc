#include "deploy/quantize_model.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "data/layout.h"
#include "deploy/calibrate.h"
#include "deploy/verify.h"
#include "onnx/bias_correction.h"

namespace lathe::deploy {
namespace {

constexpr int64_t kTuningImages = 1000;
constexpr int64_t kTuningBytes = 256 << 20;  // that they may take; fewer large ones
constexpr int64_t kSensitivityImages = 60;   // per layer, so few

// Images in memory, with what the trained network makes of them.
class TuningSet {
 public:
  TuningSet(const std::shared_ptr<const data::Dataset>& dataset, train::TrainedModel& trained,
            const net::Network& network, const data::Preprocessing& preprocessing)
      : image_size_(static_cast<size_t>(network.input.c) *
                    static_cast<size_t>(network.input.h * network.input.w)),
        classes_(static_cast<size_t>(network.num_classes())) {
    const auto fit = kTuningBytes / static_cast<int64_t>(image_size_ * sizeof(float));
    data::Loader loader(data::Spread(dataset, std::min(kTuningImages, std::max<int64_t>(1, fit))),
                        {.preprocessing = preprocessing,
                         .augmentation = {},
                         .batch = 100,
                         .threads = AvailableThreads(),
                         .training = false});
    data::Batch batch;
    std::vector<float> nchw;
    loader.StartEpoch(0);
    while (loader.Next(batch)) {
      data::ToNchw(batch.images, batch.count, preprocessing, nchw);
      images_.insert(images_.end(), nchw.begin(), nchw.end());
      const std::vector<float> logits = trained.Logits(batch.images, batch.count);
      logits_.insert(logits_.end(), logits.begin(), logits.end());
      labels_.insert(labels_.end(), batch.labels.begin(), batch.labels.end());
    }
  }

  int64_t size() const { return std::ssize(labels_); }
  double Accuracy() const { return AccuracyOf(logits_); }

  struct Judgement {
    double error = 0, accuracy = 0;
  };
  // Of `model` on all images, or the first `limit` of them.
  Judgement Judge(engine::CompiledModel& model, int64_t limit = kTuningImages) const {
    const auto count = static_cast<size_t>(std::min(limit, size()));
    const std::vector<float> found =
        model.Run(std::span(images_).first(count * image_size_), static_cast<int>(count));
    const std::span<const float> expected = std::span(logits_).first(found.size());
    const double mean = std::accumulate(expected.begin(), expected.end(), 0.0) /
                        static_cast<double>(expected.size());
    double noise = 0, signal = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      const double difference = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
      noise += difference * difference;
      signal +=
          (static_cast<double>(expected[i]) - mean) * (static_cast<double>(expected[i]) - mean);
    }
    // A network whose logits are all the same has nothing to lose.
    return {.error = signal > 0 ? noise / signal : 0, .accuracy = AccuracyOf(found)};
  }

 private:
  double AccuracyOf(std::span<const float> logits) const {
    const size_t count = logits.size() / classes_;
    int64_t correct = 0;
    for (size_t i = 0; i < count; ++i)
      correct += TopOne(logits.subspan(i * classes_, classes_)) == labels_[i] ? 1 : 0;
    return static_cast<double>(correct) / static_cast<double>(count);
  }

  size_t image_size_, classes_;
  std::vector<float> images_, logits_;  // NCHW; of the trained network
  std::vector<int64_t> labels_;
};

class Tuner {
 public:
  Tuner(const net::Network& network, const net::Weights& weights, engine::Engine& engine,
        const TuningSet& tuning)
      : network_(network), weights_(weights), engine_(engine), tuning_(tuning) {}

  TuningSet::Judgement Judge(const onnx::Quantization& quantization,
                             int64_t images = kTuningImages) const {
    const std::unique_ptr<engine::CompiledModel> model =
        engine_.Compile(network_, weights_, {.quantization = quantization});
    return tuning_.Judge(*model, images);
  }

  std::vector<LayerSensitivity> Sensitivities(onnx::Quantization quantization) const {
    std::vector<LayerSensitivity> sensitivities;
    for (int layer = 0; layer < std::ssize(network_.layers); ++layer) {
      quantization.float_layers.clear();
      for (int other = 0; other < std::ssize(network_.layers); ++other) {
        if (other != layer) quantization.float_layers.insert(other);
      }
      sensitivities.push_back(
          {.layer = layer, .error = Judge(quantization, kSensitivityImages).error});
    }
    std::ranges::stable_sort(sensitivities, std::greater(), &LayerSensitivity::error);
    return sensitivities;
  }

 private:
  const net::Network& network_;
  const net::Weights& weights_;
  engine::Engine& engine_;
  const TuningSet& tuning_;
};

// The ranges, with bias correction or without, that change the logits least.
QuantizedModel ChooseRanges(const Tuner& tuner, const Calibration& calibration,
                            const std::map<std::string, std::vector<float>, std::less<>>& shifts,
                            const QuantizeOptions& options) {
  std::optional<QuantizedModel> best;
  for (const RangeMethod method : kRangeMethods) {
    if (options.method && *options.method != method) continue;
    for (const bool correct : {false, true}) {
      QuantizedModel candidate;
      candidate.method = method;
      candidate.quantization = {.ranges = calibration.RangesBy(method),
                                .activations = options.activations};
      if (correct) candidate.quantization.bias_shifts = shifts;
      const TuningSet::Judgement judgement = tuner.Judge(candidate.quantization);
      candidate.error = judgement.error;
      candidate.accuracy_int8 = judgement.accuracy;
      spdlog::debug("int8: ranges by {}, biases {}: error {:.2e}, accuracy {:.2f} %", Name(method),
                    correct ? "corrected" : "as they are", judgement.error,
                    100 * judgement.accuracy);
      if (!best || candidate.error < best->error) best = std::move(candidate);
    }
  }
  return *best;
}

}  // namespace

QuantizedModel QuantizeModel(const net::Network& network, const net::Weights& weights,
                             train::TrainedModel& trained, engine::Engine& engine,
                             std::shared_ptr<const data::Dataset> dataset,
                             const data::Preprocessing& preprocessing,
                             const QuantizeOptions& options) {
  if (std::ssize(dataset->class_names()) != network.num_classes()) {
    throw Error(ErrorKind::kInput, "calibration: the data set has {} classes, '{}' has {}",
                dataset->class_names().size(), network.name, network.num_classes());
  }
  const Calibration calibration =
      Calibrate(network, trained, dataset, preprocessing, options.images);
  const TuningSet tuning(dataset, trained, network, preprocessing);
  const Tuner tuner(network, weights, engine, tuning);
  QuantizedModel model =
      ChooseRanges(tuner, calibration,
                   onnx::BiasShifts(net::Lower(network), weights, calibration.means), options);
  model.images = tuning.size();
  model.accuracy_float = tuning.Accuracy();
  model.sensitivity = tuner.Sensitivities(model.quantization);
  const auto holds = [&] { return model.accuracy_float - model.accuracy_int8 <= options.max_drop; };
  // All but one at most: without any left, it would not be an int8 model.
  for (size_t i = 0; !holds() && i + 1 < model.sensitivity.size(); ++i) {
    model.quantization.float_layers.insert(model.sensitivity[i].layer);
    const TuningSet::Judgement judgement = tuner.Judge(model.quantization);
    model.error = judgement.error;
    model.accuracy_int8 = judgement.accuracy;
  }
  model.holds = holds();
  return model;
}

}  // namespace lathe::deploy
