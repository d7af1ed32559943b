#include "train/checkpoint.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace lathe::train {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "lathe-checkpoint-3";

Json ToJson(const EpochMetrics& metrics) {
  return {metrics.epoch,         metrics.train_loss,        metrics.loss,   metrics.accuracy,
          metrics.learning_rate, metrics.images_per_second, metrics.seconds};
}

EpochMetrics EpochFromJson(const Json& json) {
  return {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5), json.at(6)};
}

std::string VectorName(size_t index) { return fmt::format("vector{}", index); }

}  // namespace

void WriteCheckpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  net::Weights file;
  for (size_t i = 0; i < checkpoint.vectors.size(); ++i) {
    const std::vector<float>& values = checkpoint.vectors[i];
    file.tensors[VectorName(i)] = {{static_cast<int64_t>(values.size())}, values};
  }
  Json epochs = Json::array();
  for (const EpochMetrics& metrics : checkpoint.epochs) epochs.push_back(ToJson(metrics));
  file.metadata = {{"format", std::string(kFormat)},
                   {"fingerprint", checkpoint.fingerprint},
                   {"step", std::to_string(checkpoint.step)},
                   {"seconds", fmt::format("{}", checkpoint.seconds)},
                   {"loss_sum", fmt::format("{}", checkpoint.loss_sum)},
                   {"epochs", epochs.dump()}};
  net::WriteSafetensors(path, file);
}

Checkpoint ReadCheckpoint(const std::filesystem::path& path, const std::string& fingerprint) {
  net::Weights file = net::ReadSafetensors(path);
  Checkpoint checkpoint;
  try {
    if (file.metadata.at("format") != kFormat) throw std::out_of_range("unknown format");
    checkpoint.fingerprint = file.metadata.at("fingerprint");
    checkpoint.step = std::stoll(file.metadata.at("step"));
    checkpoint.seconds = std::stod(file.metadata.at("seconds"));
    checkpoint.loss_sum = std::stod(file.metadata.at("loss_sum"));
    for (const Json& json : Json::parse(file.metadata.at("epochs")))
      checkpoint.epochs.push_back(EpochFromJson(json));
    for (size_t i = 0; i < file.tensors.size(); ++i) {
      checkpoint.vectors.push_back(std::move(file.tensors.at(VectorName(i)).values));
    }
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kInput,
                "{}: not a checkpoint of this version ({}); remove it to start over", path.string(),
                error.what());
  }
  if (checkpoint.fingerprint != fingerprint) {
    throw Error(ErrorKind::kInput,
                "{}: belongs to another network, recipe, data set or seed; remove it to start over",
                path.string());
  }
  return checkpoint;
}

}  // namespace lathe::train
