// lathe init: looks at pictures and the device, and writes the study file of a search that suits
// them.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/config.h"
#include "base/csv.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/quote.h"
#include "base/random.h"
#include "base/table.h"
#include "cli/common.h"
#include "cli/search_estimate.h"
#include "cli/study_comments.h"
#include "cli/study_file_doc.h"
#include "study/config.h"
#include "study/config_writer.h"

namespace lathe::cli {
namespace {

struct InitFlags {
  std::string data, latency, out = "study.toml", name;
  int image_size = 0;
  TargetFlags target;
  bool no_estimate = false;
};

// "2ms", "500 us", "0.01s" or "2" to microseconds.
double ParseLatency(const std::string& text) {
  static constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"us", 1}, {"ms", 1000}, {"s", 1e6}, {"", 1000}}};
  for (const auto& [unit, us] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const std::string_view digits(text.data(), text.size() - unit.size());
    const std::optional<double> number = ParseNumber(TrimBlanks(digits));
    if (number && std::isfinite(*number) && *number > 0) return *number * us;
  }
  throw Error(ErrorKind::kUsage, "--latency '{}': give a time such as 2ms, 0.5ms or 300us", text);
}

// What kind of data set lies there, by its files.
data::DataConfig DataConfigOf(const std::string& given) {
  data::DataConfig config{.kind = "image-folder", .path = fs::absolute(given).lexically_normal()};
  if (given == "fashion-mnist" && !fs::exists(given)) {
    const ConfigFile table = ConfigFile::ParseToml("kind = \"fashion-mnist\"", "--data");
    return data::ReadDataConfig(table.root());
  }
  if (!fs::is_directory(given)) {
    throw Error(ErrorKind::kInput,
                "--data {}: there is no such folder. Give one with a folder of pictures per class, "
                "or train/ and val/ with such folders in them",
                given);
  }
  for (const char* name : {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"}) {
    if (fs::exists(config.path / name)) config.kind = "idx";
  }
  for (const char* name : {"data_batch_1.bin", "train.bin"}) {
    if (fs::exists(config.path / name)) config.kind = "cifar";
  }
  return config;
}

// Goes on without the pictures that cannot be read, and says which they are.
data::Splits OpenTolerantly(data::DataConfig& config, uint64_t seed) {
  try {
    return data::OpenSplits(config, seed);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInput || config.kind != "image-folder") throw;
    config.unreadable = "skip";
    data::Splits splits = data::OpenSplits(config, seed);  // throws for all that is not a picture
    spdlog::warn("the search will do without what cannot be read ([data] unreadable = \"skip\")");
    return splits;
  }
}

struct DataLook {
  int64_t least = 0, most = 0;  // pictures of the rarest and the most frequent class
  std::string rarest;
  int typical_side = 0;  // of the shorter sides, px
};

DataLook LookAt(const data::Dataset& dataset) {
  constexpr int64_t kSample = 200;
  std::vector<int64_t> counts(dataset.class_names().size());
  for (int64_t i = 0; i < dataset.size(); ++i) ++counts[static_cast<size_t>(dataset.Label(i))];
  std::vector<int> sides;
  const int64_t step = std::max<int64_t>(1, dataset.size() / kSample);
  for (int64_t i = 0; i < dataset.size(); i += step) {
    const data::Image image = dataset.Load(i);
    sides.push_back(std::min(image.h, image.w));
  }
  std::ranges::nth_element(sides, sides.begin() + std::ssize(sides) / 2);
  const auto least = std::ranges::min_element(counts);
  return {.least = *least,
          .most = *std::ranges::max_element(counts),
          .rarest = dataset.class_names()[static_cast<size_t>(least - counts.begin())],
          .typical_side = sides[sides.size() / 2]};
}

fs::path SpaceFile(const std::string& name) {
  const fs::path program = OwnExecutable().parent_path();
  for (const char* folder : {"../configs/spaces", "../share/lathe/spaces"}) {
    const fs::path file = (program / folder / (name + ".toml")).lexically_normal();
    if (fs::exists(file)) return file;
  }
  throw Error(ErrorKind::kInput,
              "the space {}.toml is missing beside {}; is Lathe installed whole?", name,
              program.string());
}

// The space for pictures of `size` px, and the resolution in it that is nearest.
struct SpaceChoice {
  std::string name;
  int resolution = 0;
};

SpaceChoice ChooseSpace(const InitFlags& flags, int typical_side) {
  constexpr int kSmall = 64;  // the largest of the small space
  constexpr int kUsual = 224;
  const bool gpu = flags.target.device != "CPU";
  // Training large pictures on processors takes days.
  const int size =
      flags.image_size > 0 ? flags.image_size : std::min(typical_side, gpu ? kUsual : kSmall);
  const std::string name = size < (kSmall + kUsual) / 2 ? "small-images" : "gpunet";
  const std::vector<int> choices =
      space::SearchSpace::Load(SpaceFile(name).string()).resolution().values;
  const int resolution =
      *std::ranges::min_element(choices, {}, [&](int choice) { return std::abs(choice - size); });
  if (flags.image_size > 0 && resolution != size) {
    spdlog::warn("--image-size {}: the spaces have {} px at the nearest", size, resolution);
  }
  return {.name = name, .resolution = resolution};
}

// Recipes for pictures of this number: enough steps for few of them, and not too many for lots.
struct Lengths {
  int batch = 0;
  double trial_epochs = 0, finalist_epochs = 0;
  int64_t trial_images = 0;  // per epoch; 0: all
};

Lengths LengthsFor(int64_t images) {
  constexpr double kTrialImages = 12288, kFinalistImages = 300'000;
  const double all = static_cast<double>(images);
  Lengths lengths{.batch = 128};
  while (lengths.batch > 8 && images < 16 * lengths.batch) lengths.batch /= 2;
  lengths.trial_epochs = std::clamp(std::round(kTrialImages / all), 1.0, 30.0);
  lengths.trial_images = all > kTrialImages ? static_cast<int64_t>(kTrialImages) : 0;
  lengths.finalist_epochs = std::clamp(std::round(kFinalistImages / all), 3.0, 100.0);
  return lengths;
}

// What the choices amount to; every other key has its default.
std::string StudyText(const InitFlags& flags, const data::DataConfig& data,
                      const SpaceChoice& space, double latency_us, int64_t images) {
  const Lengths lengths = LengthsFor(images);
  const std::string name = flags.name.empty() ? data.path.filename().empty()
                                                    ? data.path.parent_path().filename().string()
                                                    : data.path.filename().string()
                                              : flags.name;
  const bool photographs = data.kind == "image-folder";
  const std::string recipe = fmt::format(
      "batch = {}\nlearning_rate = {}\naugmentation = {{ flip = true, random_resized_crop = {} "
      "}}\n",
      lengths.batch, 0.2 * lengths.batch / 128, photographs);
  return fmt::format("[study]\nname = {}\n\n{}", TomlQuoted(name), data::ToToml(data)) +
         fmt::format("\n[space]\nfile = {}\n[space.restrict]\nresolution = [{}]\n",
                     TomlQuoted(SpaceFile(space.name).string()), space.resolution) +
         fmt::format(
             "\n[target]\nengine = {}\ndevice = {}\nthreads = {}\nbatch = {}\nprecision = "
             "{}\nlatency_ms = {}\n",
             TomlQuoted(flags.target.engine), TomlQuoted(flags.target.device), flags.target.threads,
             flags.target.batch, TomlQuoted(flags.target.precision), latency_us / 1000) +
         fmt::format("\n[trial]\nrecipe = \"quick\"\nepochs = {}\nimages_per_epoch = {}\n{}",
                     lengths.trial_epochs, lengths.trial_images, recipe) +
         fmt::format("\n[finalists]\nrecipe = \"small-images\"\nepochs = {}\n{}",
                     lengths.finalist_epochs, recipe) +
         "\n[baselines]\nnetworks = [\"mobilenet_v2\", \"mobilenet_v3_small\", "
         "\"efficientnet_b0\"]\n";
}

// The file appears only when it holds what LoadStudy() accepts.
study::StudyConfig WriteStudyFile(const fs::path& out, const std::string& text) {
  const fs::path draft = out.string() + ".draft";
  WriteFileAtomically(draft, text);
  try {
    const study::StudyConfig config = study::LoadStudy(draft);
    const std::string head =
        "# Made by `lathe init`, defaults filled in; docs/study-file.md says more.\n"
        "# Run it with `lathe search " +
        out.string() + "`.\n";
    const size_t first_line = config.resolved_toml.find('\n') + 1;  // says where it came from
    WriteFileAtomically(
        out, head + WithComments(config.resolved_toml.substr(first_line), StudyFileDoc()));
    fs::remove(draft);
  } catch (...) {
    fs::remove(draft);
    throw;
  }
  return study::LoadStudy(out);
}

int Init(const Globals& globals, const InitFlags& flags) {
  const double latency_us = ParseLatency(flags.latency);
  if (fs::exists(flags.out)) {
    throw Error(ErrorKind::kInput, "{}: exists already; remove it, or name another with --out",
                flags.out);
  }
  const std::unique_ptr<engine::Engine> engine = flags.target.Make();
  data::DataConfig data = DataConfigOf(flags.data);
  const data::Splits splits = OpenTolerantly(data, globals.seed);
  const DataLook look = LookAt(*splits.train);
  const SpaceChoice space = ChooseSpace(flags, look.typical_side);
  const study::StudyConfig config = WriteStudyFile(
      flags.out, StudyText(flags, data, space, latency_us, splits.search_train->size()));

  std::optional<SearchEstimate> estimate;
  if (!flags.no_estimate) {
    spdlog::info("trying the device: a few latencies, and a moment of training");
    estimate = EstimateSearch(OpenStudy(config, {.folder = "", .overrides = {}}));
    if (estimate->fitting == 0) {
      spdlog::warn(
          "none of the networks tried is within {}; the search may find none. Try a smaller "
          "--image-size or a larger --latency",
          FormatMs(latency_us));
    }
  }
  const engine::Fingerprint target = engine->Target();
  if (globals.json) {
    nlohmann::ordered_json json = {{"file", flags.out},
                                   {"classes", splits.train->class_names().size()},
                                   {"train_images", splits.train->size()},
                                   {"test_images", splits.test->size()},
                                   {"space", space.name},
                                   {"resolution", space.resolution},
                                   {"device", target.device_name}};
    if (estimate) json["estimate"] = ToJson(*estimate);
    PrintJson(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {
      {"data", fmt::format("{}: {} classes, {} pictures to train and {} to test", flags.data,
                           splits.train->class_names().size(), FormatCount(splits.train->size()),
                           FormatCount(splits.test->size()))},
      {"classes", fmt::format("{} to {} pictures each, fewest of '{}'", FormatCount(look.least),
                              FormatCount(look.most), look.rarest)},
      {"pictures",
       fmt::format("typically {} px; the search uses {} px", look.typical_side, space.resolution)},
      {"device",
       fmt::format("{} ({} {})", target.device_name, target.engine, target.engine_version)},
      {"space", space.name}};
  if (estimate) std::ranges::move(ToRows(*estimate, config), std::back_inserter(rows));
  rows.push_back({"study file", flags.out});
  rows.push_back({"next", "lathe search " + flags.out});
  PrintText(FormatTable(rows));
  return 0;
}

}  // namespace

void AddInitCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("init", "Write a study file for your pictures and this device");
  auto flags = std::make_shared<InitFlags>();
  command
      ->add_option(
          "--data", flags->data,
          "fashion-mnist, a folder with a folder of pictures per class (or train/ and val/ "
          "with such folders), IDX or CIFAR files")
      ->required();
  command->add_option("--latency", flags->latency, "What one inference may take: 2ms, 0.5ms, 300us")
      ->required();
  command
      ->add_option("--image-size", flags->image_size,
                   "Side of the networks' input in px; 0: by the pictures and the device")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  command->add_option("--out", flags->out, "Study file to write")->capture_default_str();
  command->add_option("--name", flags->name, "Name of the study (default: the data's folder)");
  command->add_flag("--no-estimate", flags->no_estimate, "Do not try how long a search takes");
  flags->target.AddTo(*command);
  command->callback(
      [&globals, &action, flags] { action = [&globals, flags] { return Init(globals, *flags); }; });
}

}  // namespace lathe::cli
