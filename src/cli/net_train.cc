#include "cli/net_train.h"

#include <algorithm>
#include <optional>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/quote.h"
#include "base/table.h"
#include "cli/crew.h"
#include "cli/teacher_file.h"
#include "cli/training_log.h"
#include "deploy/verify.h"
#include "latency/stats.h"
#include "net/network_file.h"
#include "study/recipe_file.h"
#include "train/trainer.h"

namespace lathe::cli {
namespace {

struct TrainFlags {
  std::string network, data = "fashion-mnist", recipe, out;
  std::vector<std::string> settings;
  double epochs = 0;
  int threads = 0, processes = 1;
};

// The network made to fit the data: its classes, and its image channels.
net::Network FitTo(const net::Network& network, const data::Dataset& dataset) {
  const net::Network fitted =
      net::WithClasses(network, static_cast<int>(dataset.class_names().size()));
  return net::WithInput(fitted, {dataset.channels(), network.input.h, network.input.w});
}

train::Recipe RecipeOf(const TrainFlags& flags) {
  std::vector<std::string> settings = flags.settings;
  if (flags.epochs > 0) settings.push_back(fmt::format("epochs={}", flags.epochs));
  if (!flags.recipe.empty()) return train::ReadRecipe(study::LoadRecipe(flags.recipe, settings));
  const ConfigFile defaults = ConfigFile::ParseToml("", "--set", settings);
  return train::ReadRecipe(defaults.root());
}

std::string SummaryOf(const std::string& network, const train::TrainResult& result,
                      int64_t test_images, const fs::path& folder) {
  const train::EpochMetrics& last = result.epochs.back();
  std::vector<double> rates;
  for (const train::EpochMetrics& epoch : result.epochs) rates.push_back(epoch.images_per_second);
  const auto [low, high] = deploy::WilsonInterval(result.accuracy, test_images);
  return FormatTable(
      {{"trained", network},
       {"test accuracy",
        fmt::format("{} ({} to {} with 95 % confidence, {} images)", FormatPercent(result.accuracy),
                    FormatPercent(low), FormatPercent(high), test_images)},
       {"test loss", fmt::format("{:.4f}", result.loss)},
       {"weights of epoch",
        fmt::format("{} of {}{}", result.epoch, last.epoch, result.early ? ", stopped early" : "")},
       {"images seen", FormatCount(result.images_seen)},
       {"images/s, median", fmt::format("{:.0f}", latency::Median(std::move(rates)))},
       {"time", FormatSeconds(last.seconds)},
       {"folder", folder.string()}});
}

nlohmann::ordered_json JsonOf(const train::TrainResult& result, const std::string& folder) {
  nlohmann::ordered_json epochs = nlohmann::ordered_json::array();
  for (const train::EpochMetrics& epoch : result.epochs) {
    epochs.push_back({{"epoch", epoch.epoch}});
    for (const auto& [name, value] : ValuesOf(epoch)) epochs.back()[name] = value;
  }
  return {{"loss", result.loss},           {"accuracy", result.accuracy},  {"epoch", result.epoch},
          {"stopped_early", result.early}, {"images", result.images_seen}, {"folder", folder},
          {"epochs", std::move(epochs)}};
}

int Train(const Globals& globals, const TrainFlags& flags) {
  train::TrainOptions options{.recipe = RecipeOf(flags), .preprocessing = {}};
  MakeFolder(flags.out);
  const fs::path out = flags.out;
  std::optional<FileLock> lock;
  if (!IsFurtherMember())
    lock.emplace(out / "lock", fmt::format("{}: another training runs in this folder", flags.out));
  const Crew crew(flags.processes, out);

  const data::Splits splits = OpenData(flags.data, globals.seed);
  const net::Network network = FitTo(LoadNetwork(flags.network), *splits.train);
  options.preprocessing = data::MeasurePreprocessing(*splits.train, network.input.h);
  options.preprocessing.crop = options.recipe.evaluation_crop;
  const auto cpus = AvailableThreads();
  options.threads = flags.threads > 0 ? flags.threads : std::max(1, cpus / flags.processes);
  options.teacher = LoadTeacher(
      options.recipe.distillation,
      {.preprocessing = options.preprocessing, .classes = network.num_classes()}, options.threads);
  options.seed = globals.seed;
  options.parallel = crew.parallel();
  options.checkpoint = out / "checkpoint";
  options.best = out / "best.safetensors";
  options.stop = &StopRequested;

  std::optional<TrainingLog> log;
  if (crew.first()) log.emplace(out);
  std::optional<Progress> progress(
      Progress::Options{.stage = "training", .total = 0, .quiet = globals.quiet || !crew.first()});
  options.on_progress = [&](const train::TrainProgress& at) {
    progress->SetTotal(at.steps);
    progress->Update(at.step,
                     fmt::format("epoch {}, loss {:.3f}, {:.0f} images/s", at.epoch, at.train_loss,
                                 at.images_per_second),
                     at.seconds_left);
  };
  options.on_epoch = [&](const train::EpochMetrics& epoch) {
    log->Add(epoch);
    progress->PrintLine(fmt::format(
        "epoch {:>3}  train loss {:.4f}  loss {:.4f}  accuracy {}  {:.0f} images/s", epoch.epoch,
        epoch.train_loss, epoch.loss, FormatPercent(epoch.accuracy), epoch.images_per_second));
  };
  const train::TrainResult result = train::Train(network, splits.train, splits.test, options);
  if (result.interrupted) {
    throw Error(ErrorKind::kInterrupted, "stopped; run the same command again to continue from {}",
                options.checkpoint.string());
  }
  if (!crew.first()) return 0;
  net::WriteSafetensors(out / "weights.safetensors", result.weights);
  WriteFileAtomically(out / "network.json", net::ToJson(network));
  progress.reset();
  globals.json ? PrintJson(JsonOf(result, flags.out))
               : PrintText(SummaryOf(network.name, result, splits.test->size(), out));
  return 0;
}

}  // namespace

data::Splits OpenData(const std::string& name, uint64_t seed) {
  if (name.ends_with(".toml")) {
    const ConfigFile file = ConfigFile::LoadToml(name);
    data::DataConfig config = data::ReadDataConfig(
        file.root().HasTable("data") ? file.root().Table("data") : file.root());
    config.path = fs::absolute(fs::path(name).parent_path() / config.path);
    return data::OpenSplits(config, seed);
  }
  const bool folder = fs::is_directory(name);
  const ConfigFile table = ConfigFile::ParseToml(
      folder ? fmt::format("kind = \"image-folder\"\npath = {}", TomlQuoted(name))
             : fmt::format("kind = {}", TomlQuoted(name)),
      "--data");
  return data::OpenSplits(data::ReadDataConfig(table.root()), seed);
}

void AddNetTrainCommand(CLI::App& net_command, const Globals& globals, Action& action) {
  CLI::App* command = net_command.add_subcommand("train", "Train a network");
  auto flags = std::make_shared<TrainFlags>();
  command->add_option("network", flags->network, kNetworkHelp)->required();
  command->add_option("--data", flags->data, kDataHelp)->capture_default_str();
  command->add_option("--recipe", flags->recipe,
                      "Preset (quick, small-images, gpunet) or recipe file (TOML)");
  command->add_option("--set", flags->settings,
                      "Override a key of the recipe: --set batch=64; may be repeated");
  command->add_option("--epochs", flags->epochs, "Epochs (default: the recipe's)");
  command->add_option("--threads", flags->threads,
                      "Threads of each process; 0: all CPUs, shared by the processes");
  command
      ->add_option("--processes", flags->processes,
                   "Processes that train it together, each on its part of every batch")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--out,-o", flags->out,
                   "Folder for weights and checkpoint; an unfinished one is continued")
      ->required();
  command->callback([&action, &globals, flags] {
    action = [&globals, flags] { return Train(globals, *flags); };
  });
}

}  // namespace lathe::cli
