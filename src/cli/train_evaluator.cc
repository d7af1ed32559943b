#include "cli/train_evaluator.h"

#include <spdlog/spdlog.h>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/teacher_file.h"
#include "cli/training_log.h"
#include "data/dataset.h"
#include "net/network_file.h"
#include "study/batch.h"
#include "train/trainer.h"

namespace lathe::cli {
namespace {

// Candidates are judged on a part of the training images; finalists and baselines train on all of
// them and are judged on the test set.
struct Roles {
  std::shared_ptr<const data::Dataset> train, evaluation;
};

Roles RolesOf(const study::TrialSpec& spec, const data::Splits& splits) {
  if (spec.kind == "search") return {splits.search_train, splits.search_val};
  return {splits.train, splits.test};
}

}  // namespace

data::Splits SampleOf(const data::Splits& splits, int64_t count) {
  return {.train = data::Spread(splits.train, count / 4),
          .test = data::Spread(splits.test, count / 4),
          .search_train = data::Spread(splits.search_train, count),
          .search_val = data::Spread(splits.search_val, count / 4)};
}

std::optional<study::TrialResult> TrainEvaluator::Evaluate(const fs::path& folder,
                                                           const study::TrialSpec& spec,
                                                           const std::function<bool()>& stop) {
  const net::Network network = net::ReadNetwork(folder / "network.json");
  const ConfigFile config =
      ConfigFile::ParseToml(spec.config_toml, (folder / "trial.json").string());
  const data::DataConfig data_config = data::ReadDataConfig(config.root().Table("data"));
  const auto split_seed = static_cast<uint64_t>(config.root().Int("split_seed"));
  data::Splits splits = data::OpenSplits(data_config, split_seed);
  if (const int64_t sample = config.root().Int("sample", {.fallback = 0, .min = 0}); sample > 0)
    splits = SampleOf(splits, sample);
  const Roles roles = RolesOf(spec, splits);

  train::TrainOptions options;
  options.recipe = train::ReadRecipe(config.root().Table("recipe"));
  options.preprocessing = data::MeasurePreprocessing(*roles.train, network.input.h);
  options.preprocessing.crop = options.recipe.evaluation_crop;
  options.threads = spec.threads;
  options.parallel = parallel_;
  options.teacher = LoadTeacher(
      options.recipe.distillation,
      {.preprocessing = options.preprocessing, .classes = network.num_classes()}, options.threads);
  std::optional<TrainingLog> log;
  if (parallel_.rank == 0) log.emplace(folder);
  options.seed = spec.seed;
  options.checkpoint = folder / "checkpoint";
  options.stop = stop;
  options.on_resume = [](int64_t step, int64_t steps) {
    spdlog::info("continues after step {} of {}", step, steps);
  };
  options.on_epoch = [&](const train::EpochMetrics& epoch) {
    log->Add(epoch);
    spdlog::info("epoch {}: train loss {:.4f}, loss {:.4f}, accuracy {:.2f} %, {:.0f} images/s",
                 epoch.epoch, epoch.train_loss, epoch.loss, 100 * epoch.accuracy,
                 epoch.images_per_second);
  };
  options.on_progress = [&](const train::TrainProgress& progress) {
    study::WriteProgress(
        folder,
        {.step = progress.step, .steps = progress.steps, .seconds_left = progress.seconds_left});
  };

  study::TrialResult result{.number = spec.number, .ok = false, .error = "", .metrics = {}};
  try {
    const train::TrainResult trained =
        train::Train(network, roles.train, roles.evaluation, options);
    if (trained.interrupted) return std::nullopt;
    if (spec.kind != "search" && parallel_.rank == 0)
      net::WriteSafetensors(folder / "weights.safetensors", trained.weights);
    result.ok = true;
    result.metrics = {{"loss", trained.loss}, {"accuracy", trained.accuracy}};
    if (!trained.epochs.empty()) {
      result.metrics["seconds"] = trained.epochs.back().seconds;
      result.metrics["images_per_second"] = trained.epochs.back().images_per_second;
    }
  } catch (const Error& error) {
    // A network that cannot be trained (NaN loss) is a result. A full disk or a broken machine is
    // not: the trial runs again.
    if (error.kind() != ErrorKind::kInput) throw;
    result.error = error.what();
  }
  return result;
}

}  // namespace lathe::cli
