// What int8 has to know of a trained network, observed on real images: how the values of each
// tensor are distributed, and the mean of each channel.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "data/loader.h"
#include "deploy/ranges.h"
#include "net/network.h"
#include "onnx/bias_correction.h"
#include "train/trainer.h"

namespace lathe::deploy {

struct Calibration {
  std::map<std::string, Distribution> distributions;  // of onnx::QuantizedNodes()
  onnx::ChannelMeans means;                           // of the same
  onnx::Ranges RangesBy(RangeMethod method) const;
};

// `images` images, spread evenly over `dataset` (fewer if it has fewer). Throws kInput when values
// are not finite, naming the node.
Calibration Calibrate(const net::Network& network, train::TrainedModel& model,
                      std::shared_ptr<const data::Dataset> dataset,
                      const data::Preprocessing& preprocessing, int64_t images);

}  // namespace lathe::deploy
