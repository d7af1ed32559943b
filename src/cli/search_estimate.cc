#include "cli/search_estimate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/random.h"
#include "cli/common.h"
#include "cli/finalists_forecast.h"
#include "cli/judge.h"
#include "cli/train_evaluator.h"
#include "study/batch.h"

namespace lathe::cli {
namespace {

constexpr int kDrawn = 12, kTrained = 4;  // networks
constexpr int kBatches = 20;              // of a training that is only timed
constexpr int64_t kLeastSample = 1024;    // images

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "lathe-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw Error(ErrorKind::kIo, "{}: cannot make a temporary folder: {}", name, Reason(errno));
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

engine::Timing TimeQuickly(engine::CompiledModel& model) {
  return model.Time({.warmup = 3, .min_runs = 15, .min_seconds = 0.05});
}

struct Drawn {
  net::Network network;
  double latency_us = 0;
};

// The widest version of each baseline that holds the budget.
std::vector<net::Network> FittingBaselines(const StudyContext& context) {
  const int resolution = context.space.resolution().values.back();
  std::vector<net::Network> fitting;
  for (const std::string& name : context.config.baselines) {
    TimedBaseline baseline =
        FitBaseline(context, name, resolution, context.config.target.latency_us, TimeQuickly);
    if (baseline.fits) fitting.push_back(std::move(baseline.network));
  }
  return fitting;
}

std::vector<Drawn> DrawNetworks(const StudyContext& context) {
  std::vector<Drawn> drawn;
  for (int i = 0; i < kDrawn; ++i) {
    Random random(SubSeed(context.config.seed, "estimate", static_cast<uint64_t>(i)));
    net::Network network = context.space.Decode(context.space.Sample(random), context.head);
    const double us = TimeQuickly(*CompileUntrained(context, network)).median_us;
    drawn.push_back({.network = std::move(network), .latency_us = us});
  }
  std::ranges::sort(drawn, {}, &Drawn::latency_us);
  return drawn;
}

// What the search will train is near the middle of the sub-space: those nearest to it come first.
void SortByDistance(std::vector<Drawn>& drawn, const study::StudyConfig& config) {
  const double aim = (config.subspace_low_us + config.subspace_high_us) / 2;
  std::ranges::sort(drawn, {}, [&](const Drawn& one) { return std::abs(one.latency_us - aim); });
}

// A training of a few steps, on part of the data. Its rate is that of the second epoch: the first
// one also prepares what later steps use again.
void Shorten(train::Recipe& recipe) {
  recipe.epochs = 2;
  recipe.images_per_epoch = int64_t{kBatches} * recipe.batch;
}

study::TrialResult CheckTrained(const StudyContext& context, study::TrialResult result) {
  if (result.ok) return result;
  throw Error(ErrorKind::kInput, "{}: a candidate cannot be trained: {}",
              context.config.source.string(), result.error);
}

std::vector<study::TrialResult> TrainAll(const StudyContext& context,
                                         const std::vector<study::BatchJob>& jobs) {
  const std::unique_ptr<study::Executor> executor = context.MakeExecutor(context.options.folder);
  return study::RunBatch(
      *executor, jobs, {.max_starts = 1, .on_finished = {}, .on_poll = {}, .stop = &StopRequested});
}

struct Speed {
  double images_per_second = 0;
  double overhead = 0;  // seconds of a trial beside its images: starting, opening the data

  // Of a whole training.
  double Seconds(const train::Recipe& recipe, const data::Dataset& train,
                 const data::Dataset& evaluated) const {
    if (images_per_second <= 0) return 0;
    return overhead + train::WorkOf(recipe, train.size(), evaluated.size()) / images_per_second;
  }
};

// Of these networks on average, each trained once or more while all slots train.
Speed TrainingSpeed(const StudyContext& context, const std::string& name,
                    const std::vector<net::Network>& networks, int slots) {
  const int rounds = (static_cast<int>(networks.size()) + slots - 1) / slots;
  std::vector<study::BatchJob> jobs;
  for (int i = 0; i < rounds * slots; ++i) {
    jobs.push_back({.folder = context.options.folder / fmt::format("{}-{}", name, i), .number = i});
    PrepareTrial(context, jobs.back().folder, i, "search",
                 networks[static_cast<size_t>(i) % networks.size()]);
  }
  const auto start = std::chrono::steady_clock::now();
  const std::vector<study::TrialResult> results = TrainAll(context, jobs);
  const double wall = SecondsSince(start);
  double seconds_per_image = 0;
  for (const study::TrialResult& result : results) {
    seconds_per_image += 1 / CheckTrained(context, result).metrics.at("images_per_second") /
                         static_cast<double>(results.size());
  }
  const double work =
      train::WorkOf(context.config.trial_recipe, context.splits.search_train->size(),
                    context.splits.search_val->size());
  return {.images_per_second = 1 / seconds_per_image,
          .overhead = std::max(0.0, wall / rounds - work * seconds_per_image)};
}

// From training to the package, as a finalist goes.
Rehearsal Rehearse(const StudyContext& context, const net::Network& network) {
  Contender contender{.name = "a candidate",
                      .kind = "finalist",
                      .origin = "a rehearsal",
                      .network = network,
                      .folder = context.options.folder / "finalist"};
  PrepareTrial(context, contender.folder, contender.number, contender.kind, network);
  const std::vector<study::TrialResult> results =
      TrainAll(context, {{.folder = contender.folder, .number = contender.number}});
  CheckTrained(context, results.front());
  const auto start = std::chrono::steady_clock::now();
  const Judged judged = Judge(context, {}, contender);
  deploy::WritePackage(context.options.folder / "package", judged.package);
  Rehearsal rehearsal{.seconds = SecondsSince(start), .problem = judged.row.problem};
  for (const auto& [file, bytes] : judged.package.onnx_files) rehearsal.files.push_back(file);
  for (const deploy::Variant& variant : judged.package.variants)
    rehearsal.inference_us += variant.measured.median_us;
  rehearsal.inference_us /= context.config.target.options.batch;
  return rehearsal;
}

std::string Told(const Rehearsal& rehearsal) {
  const std::string done = fmt::format(
      "a candidate was trained for a moment, exported as {}, verified, timed and packaged",
      fmt::join(rehearsal.files, " and "));
  if (rehearsal.problem.empty()) return done;
  return fmt::format("{}; {} (it is hardly trained)", done, rehearsal.problem);
}

}  // namespace

bool CanEstimate(const study::StudyConfig& config) {
  return config.executor == "local" && !config.evaluator.HasProgram();
}

SearchEstimate EstimateSearch(StudyContext context) {
  const study::StudyConfig config = context.config;
  if (!CanEstimate(config)) {
    throw Error(ErrorKind::kInput,
                "{}: --estimate times Lathe's own training on this machine; for it, add --set "
                "executor.kind=local and leave [evaluator] out",
                config.source.string());
  }
  SearchEstimate estimate;
  std::vector<Drawn> drawn = DrawNetworks(context);
  for (const Drawn& one : drawn) {
    estimate.latencies_us.push_back(one.latency_us);
    estimate.fitting += one.latency_us <= config.target.latency_us ? 1 : 0;
  }
  estimate.slots =
      config.slots > 0 ? config.slots : std::max(1, AvailableThreads() / config.threads_per_slot);
  SortByDistance(drawn, config);
  const data::Splits splits = context.splits;
  const TemporaryFolder folder;
  context.options.folder = folder.path();
  Shorten(context.config.trial_recipe);
  Shorten(context.config.finalist_recipe);
  context.sample = std::max(kLeastSample, context.config.trial_recipe.images_per_epoch);
  context.splits = SampleOf(splits, context.sample);
  // Networks of one latency differ by half in how fast they train.
  std::vector<net::Network> candidates;
  for (size_t i = 0; i < std::min<size_t>(kTrained, drawn.size()); ++i)
    candidates.push_back(drawn[i].network);
  const Speed speed =
      TrainingSpeed(context, "candidate", candidates, std::min(estimate.slots, config.trials));
  estimate.images_per_second = speed.images_per_second;
  const std::vector<net::Network> baselines = FittingBaselines(context);
  estimate.baselines = static_cast<int>(baselines.size());
  const Speed of_baselines =
      baselines.empty() ? Speed() : TrainingSpeed(context, "baseline", baselines, estimate.slots);
  estimate.rehearsal = Rehearse(context, drawn.front().network);

  const double trial = speed.Seconds(config.trial_recipe, *splits.search_train, *splits.search_val);
  const double training =
      config.finalists * speed.Seconds(config.finalist_recipe, *splits.train, *splits.test) +
      estimate.baselines *
          of_baselines.Seconds(config.finalist_recipe, *splits.train, *splits.test);
  // Each test image runs once in each file, and in the trained model.
  const double image =
      1e-6 * estimate.rehearsal.inference_us + train::kEvaluationWork / speed.images_per_second;
  const auto images = static_cast<double>(splits.test->size());
  const auto rehearsed = static_cast<double>(context.splits.test->size());
  const double judging =
      config.finalists * (estimate.rehearsal.seconds + image * (images - rehearsed)) +
      estimate.baselines * (kJudge + image * images);
  const int contenders = config.finalists + estimate.baselines;
  estimate.measuring = context.given_lut ? 0 : config.lut_seconds;
  estimate.trials = InSlots(config.trials, trial, estimate.slots);
  if (config.max_seconds > 0)
    estimate.trials = std::min(estimate.trials, config.max_seconds + trial);
  estimate.finalists = InSlots(contenders, training / contenders, estimate.slots) + judging +
                       kMeasureUntrained * contenders;
  const int cores = std::min(AvailableThreads(), estimate.slots * config.threads_per_slot);
  estimate.core_hours = (estimate.measuring * config.target.options.threads +
                         cores * (estimate.trials + estimate.finalists)) /
                        3600;
  return estimate;
}

std::vector<std::vector<std::string>> ToRows(const SearchEstimate& estimate,
                                             const study::StudyConfig& config) {
  return {
      {"budget", fmt::format("{}: {} of {} networks of the space are that fast ({} to {})",
                             FormatMs(config.target.latency_us), estimate.fitting,
                             estimate.latencies_us.size(), FormatMs(estimate.latencies_us.front()),
                             FormatMs(estimate.latencies_us.back()))},
      {"training", fmt::format("{:.0f} images/s in each of {} slots", estimate.images_per_second,
                               estimate.slots)},
      {"time", fmt::format("about {}: measuring {}, {} trials {}, {} finalists and {} baselines {}",
                           FormatSeconds(estimate.total()), FormatSeconds(estimate.measuring),
                           config.trials, FormatSeconds(estimate.trials), config.finalists,
                           estimate.baselines, FormatSeconds(estimate.finalists))},
      {"cost", fmt::format("{:.1f} core-hours", estimate.core_hours)},
      {"rehearsal", Told(estimate.rehearsal)}};
}

nlohmann::ordered_json ToJson(const SearchEstimate& estimate) {
  return {{"latencies_us", estimate.latencies_us},
          {"fitting", estimate.fitting},
          {"images_per_second", estimate.images_per_second},
          {"slots", estimate.slots},
          {"measuring_seconds", estimate.measuring},
          {"trials_seconds", estimate.trials},
          {"finalists_seconds", estimate.finalists},
          {"seconds", estimate.total()},
          {"core_hours", estimate.core_hours},
          {"rehearsal",
           {{"files", estimate.rehearsal.files},
            {"problem", estimate.rehearsal.problem},
            {"seconds", estimate.rehearsal.seconds}}}};
}

}  // namespace lathe::cli
