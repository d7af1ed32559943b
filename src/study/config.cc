#include "study/config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "study/config_writer.h"
#include "study/recipe_file.h"

namespace lathe::study {
namespace {

constexpr double kMaxMs = 1e6;

// Paths are relative to the file that names them.
fs::path Resolve(const fs::path& path, const fs::path& file) {
  if (path.empty() || path.is_absolute()) return path;
  return (fs::absolute(file).parent_path() / path).lexically_normal();
}

int ToInt(const Config& table, std::string_view key, int64_t fallback, int64_t min, int64_t max) {
  return static_cast<int>(table.Int(key, {.fallback = fallback, .min = min, .max = max}));
}

void ReadStudy(const Config& table, StudyConfig& config) {
  config.name = table.String("name");
  const bool bad = config.name.empty() || config.name.front() == '.' ||
                   config.name.find('/') != std::string::npos ||
                   std::ranges::any_of(config.name, [](unsigned char c) { return c < 0x20; });
  if (bad) table.Fail("name", "must be usable as a folder's name");
  config.seed = static_cast<uint64_t>(table.Int("seed", {.fallback = 1, .min = 0}));
  table.Finish();
}

// "stage2.kernel" = [3], or as a table of its own: stage2.kernel = [3].
void ReadRestrictions(const Config& table, const std::string& prefix, StudyConfig& config) {
  for (const std::string& key : table.Keys()) {
    if (table.HasTable(key)) {
      ReadRestrictions(table.Table(key), prefix + key + ".", config);
      continue;
    }
    const std::vector<int64_t> allowed =
        table.Ints(key, {.fallback = {}, .min = -1'000'000, .max = 1'000'000});
    if (allowed.empty()) table.Fail(key, "allows nothing; leave it out to allow everything");
    config.restrict[prefix + key] = std::vector<int>(allowed.begin(), allowed.end());
  }
}

void ReadSpace(const Config& table, StudyConfig& config) {
  config.space_file = Resolve(table.String("file"), config.source);
  ReadRestrictions(table.Table("restrict"), "", config);
  table.Finish();
}

void ReadTarget(const Config& table, StudyConfig& config) {
  static constexpr std::array kPrecisions = {engine::Precision::kF32, engine::Precision::kBf16,
                                             engine::Precision::kF16, engine::Precision::kInt8};
  std::vector<std::string_view> names;
  for (const engine::Precision precision : kPrecisions) names.push_back(engine::Name(precision));

  TargetConfig& target = config.target;
  target.engine = table.String("engine", target.engine);
  target.options.device = table.String("device", target.options.device);
  target.options.threads = ToInt(table, "threads", 1, 1, 4096);
  target.options.batch = ToInt(table, "batch", 1, 1, 65536);
  const std::string precision = table.Choice("precision", names, std::string(names.front()));
  target.options.precision =
      kPrecisions[static_cast<size_t>(std::ranges::find(names, precision) - names.begin())];
  target.latency_us = 1000 * table.Real("latency_ms", {.fallback = {}, .min = 1e-6, .max = kMaxMs});
  target.accuracy = table.Real("accuracy", {.fallback = 0, .min = 0, .max = 1});
  table.Finish();
}

void ReadLatency(const Config& table, StudyConfig& config) {
  config.lut_seconds =
      table.Real("build_seconds", {.fallback = config.lut_seconds, .min = 0.1, .max = 1e6});
  config.lut_file = Resolve(table.String("file", ""), config.source);
  table.Finish();
}

void ReadStage1(const Config& table, StudyConfig& config) {
  const double budget_us = config.target.latency_us;
  config.stage1_points =
      table.Int("points", {.fallback = config.stage1_points, .min = 1, .max = int64_t{1} << 26});
  if (table.Has("edges_ms")) {
    for (double edge_ms : table.Reals("edges_ms", {.fallback = {}, .min = 1e-6, .max = kMaxMs})) {
      if (!config.edges_us.empty() && 1000 * edge_ms <= config.edges_us.back()) {
        table.Fail("edges_ms", "must ascend");
      }
      config.edges_us.push_back(1000 * edge_ms);
    }
  } else {
    config.edges_us = {0.25 * budget_us, 0.5 * budget_us, 0.75 * budget_us, budget_us};
  }
  config.subspace_low_us = 0.5 * budget_us;
  config.subspace_high_us = budget_us;
  if (table.Has("subspace_ms")) {
    const std::vector<double> bounds =
        table.Reals("subspace_ms", {.fallback = {}, .min = 0, .max = kMaxMs});
    if (bounds.size() != 2 || bounds[0] >= bounds[1]) {
      table.Fail("subspace_ms", "must be two latencies, the lower one first: [0.5, 1.0]");
    }
    config.subspace_low_us = 1000 * bounds[0];
    config.subspace_high_us = 1000 * bounds[1];
  }
  table.Finish();
}

void ReadObjective(const Config& table, StudyObjective& objective) {
  objective.aim = ParseAim(table.Choice("goal", AimNames(), std::string(Name(objective.aim))));
  search::Objective& weights = objective.weights;
  weights.alpha = table.Real("alpha", {.fallback = weights.alpha, .min = 0, .max = 1e6});
  weights.beta = table.Real("beta", {.fallback = weights.beta, .min = 0, .max = 10});
  for (const char* key : {"alpha", "beta"}) {
    if (objective.aim == Aim::kWeighted || !table.Has(key)) continue;
    table.Fail(key, fmt::format("has no part in goal = \"{}\"; leave it out", Name(objective.aim)));
  }
}

void ReadSearch(const Config& table, StudyConfig& config) {
  const std::vector<std::string> names = search::ProposerNames();
  const std::vector<std::string_view> choices(names.begin(), names.end());
  config.proposer = table.Choice("proposer", choices, config.proposer);
  config.trials = ToInt(table, "trials", config.trials, 1, 1'000'000);
  config.max_seconds = 60 * table.Real("max_minutes", {.fallback = 0, .min = 0, .max = 1e7});
  config.max_gpu_seconds =
      3600 * table.Real("max_gpu_hours", {.fallback = 0, .min = 0, .max = 1e9});
  config.stop_accuracy = table.Real("stop_accuracy", {.fallback = 0, .min = 0, .max = 1});
  config.max_retries = ToInt(table, "max_retries", config.max_retries, 0, 1000);
  ReadObjective(table, config.objective);
  for (const std::string& network : table.Strings("enqueue")) {
    const bool file = network.ends_with(".json") || network.find('/') != std::string::npos;
    config.enqueue.push_back(file ? Resolve(network, config.source).string() : network);
  }
  for (const std::string& earlier : table.Strings("warm_start")) {
    config.warm_start.push_back(Resolve(earlier, config.source));
  }
  config.warm_start_best = ToInt(table, "warm_start_best", config.warm_start_best, 0, 1'000'000);
  table.Finish();
}

// After [trial]: what could never end a trial is a mistake.
void ReadPruning(const Config& table, StudyConfig& config) {
  const std::vector<std::string> names = search::PrunerNames();
  const std::vector<std::string_view> choices(names.begin(), names.end());
  search::PrunerOptions& pruning = config.pruning;
  pruning.goal = config.objective.goal();
  pruning.rule = table.Choice("rule", choices, pruning.rule);
  pruning.first_step = ToInt(table, "first_epoch", pruning.first_step, 1, 100'000);
  pruning.reduction = ToInt(table, "reduction", pruning.reduction, 2, 1000);
  pruning.startup = ToInt(table, "startup", pruning.startup, 1, 1'000'000);
  if (pruning.rule != "none" && pruning.first_step >= std::ceil(config.trial_recipe.epochs)) {
    table.Fail(table.Has("first_epoch") ? "first_epoch" : "rule",
               fmt::format("trials are trained for {:g} epochs, so none could end after epoch {}; "
                           "raise epochs in [trial] or leave [pruning] out",
                           config.trial_recipe.epochs, pruning.first_step));
  }
  table.Finish();
}

void ReadFinalists(const Config& table, StudyConfig& config) {
  const Config merged = WithRecipe(table, config.source);
  config.finalists = ToInt(merged, "count", config.finalists, 1, 1000);
  config.finalist_recipe = train::ReadRecipe(merged);
}

void ReadInt8(const Config& table, Int8Config& int8) {
  static constexpr std::array<std::string_view, 4> kRanges = {"best", "min-max", "percentile",
                                                              "entropy"};
  int8.finalists = table.Bool("finalists", int8.finalists);
  int8.images = table.Int("images", {.fallback = int8.images, .min = 1, .max = 1'000'000});
  int8.ranges = table.Choice("ranges", kRanges, int8.ranges);
  int8.max_drop = table.Real("max_drop", {.fallback = int8.max_drop, .min = 0, .max = 1});
  table.Finish();
}

void ReadExecutor(const Config& table, StudyConfig& config) {
  static constexpr std::array<std::string_view, 2> kKinds = {"local", "slurm"};
  config.executor = table.Choice("kind", kKinds, config.executor);
  config.slots = ToInt(table, "slots", config.slots, 0, 100'000);
  config.threads_per_slot = ToInt(table, "threads_per_slot", config.threads_per_slot, 1, 4096);
  config.processes_per_trial =
      ToInt(table, "processes_per_trial", config.processes_per_trial, 1, 4096);
  if (config.threads_per_slot % config.processes_per_trial != 0) {
    table.Fail("processes_per_trial",
               fmt::format("{} processes cannot share the {} threads of a slot equally",
                           config.processes_per_trial, config.threads_per_slot));
  }
  config.gpus_per_trial = ToInt(table, "gpus_per_trial", config.gpus_per_trial, 0, 1024);
  if (config.max_gpu_seconds > 0 && config.gpus_per_trial == 0) {
    table.Fail("gpus_per_trial",
               "[search] max_gpu_hours counts the GPUs of trials, and they have none");
  }
  config.memory_gb = table.Real("memory_gb", {.fallback = 0, .min = 0, .max = 1e6});
  config.hang_seconds = 60 * table.Real("hang_minutes", {.fallback = 30, .min = 0, .max = 1e6});
  for (const train::Recipe* recipe : {&config.trial_recipe, &config.finalist_recipe}) {
    if (recipe->batch % config.processes_per_trial == 0) continue;
    table.Fail("processes_per_trial", fmt::format("a batch of {} cannot be shared equally by {}",
                                                  recipe->batch, config.processes_per_trial));
  }
  table.Finish();
}

void ReadSlurm(const Config& table, StudyConfig& config) {
  SlurmConfig& slurm = config.slurm;
  slurm.partition = table.String("partition", "");
  slurm.account = table.String("account", "");
  slurm.qos = table.String("qos", "");
  slurm.constraint = table.String("constraint", "");
  slurm.gres = table.String("gres", "");
  slurm.time_limit = table.String("time_limit", "");
  slurm.memory = table.String("memory", "");
  slurm.nodes = ToInt(table, "nodes", slurm.nodes, 1, 100'000);
  slurm.extra = table.Strings("extra");
  slurm.setup = table.Strings("setup");
  slurm.save_seconds =
      table.Real("save_seconds", {.fallback = slurm.save_seconds, .min = 1, .max = 65'535});
  slurm.poll_seconds =
      table.Real("poll_seconds", {.fallback = slurm.poll_seconds, .min = 0.1, .max = 3600});
  slurm.cancel_on_stop = table.Bool("cancel_on_stop", slurm.cancel_on_stop);
  table.Finish();
}

}  // namespace

StudyConfig LoadStudy(const fs::path& path, std::span<const std::string> overrides) {
  const ConfigFile file = ConfigFile::LoadToml(path, overrides);
  const Config root = file.root();
  CheckFormat(root, "lathe-study");
  StudyConfig config;
  config.source = path;
  ReadStudy(root.Table("study"), config);
  config.data = data::ReadDataConfig(root.Table("data"));
  config.data.path = Resolve(config.data.path, path);
  ReadSpace(root.Table("space"), config);
  ReadTarget(root.Table("target"), config);
  ReadLatency(root.Table("latency"), config);
  ReadStage1(root.Table("stage1"), config);
  ReadSearch(root.Table("search"), config);
  config.evaluator = ReadEvaluator(root.Table("evaluator"), path);
  config.trial_recipe = train::ReadRecipe(WithRecipe(root.Table("trial"), path));
  ReadPruning(root.Table("pruning"), config);
  ReadFinalists(root.Table("finalists"), config);
  ReadInt8(root.Table("int8"), config.int8);
  const Config baselines = root.Table("baselines");
  config.baselines = baselines.Strings("networks");
  baselines.Finish();
  ReadExecutor(root.Table("executor"), config);
  ReadSlurm(root.Table("slurm"), config);
  root.Finish();
  config.resolved_toml = ToToml(config);
  return config;
}

}  // namespace lathe::study
