#include "cli/search_job.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/quote.h"
#include "base/random.h"
#include "cli/command_evaluator.h"
#include "cli/common.h"
#include "cli/finalists.h"
#include "cli/finalists_forecast.h"
#include "cli/job_file.h"
#include "cli/study_orders.h"
#include "cli/study_report.h"
#include "cli/study_start.h"
#include "cli/study_subspace.h"
#include "executor/local.h"
#include "executor/slurm.h"
#include "latency/builder.h"
#include "net/network_file.h"
#include "net/zoo.h"
#include "space/count.h"
#include "space/subspace.h"
#include "study/batch.h"
#include "study/config_writer.h"
#include "study/controller.h"
#include "study/jobs.h"

namespace lathe::cli {
namespace {

constexpr char kLockFile[] = ".lock";

using Clock = std::chrono::steady_clock;

constexpr int kSlotsPerTrialAhead = 16;  // few: a proposal made later knows more

// Fits the signed 64 bits of a TOML integer: trials get it through their files.
uint64_t SplitSeed(const study::StudyConfig& config) { return SubSeed(config.seed, "split") >> 1; }

// What a training program of the user's own is told of the data.
fs::path SplitFile(const SearchOptions& options) {
  return fs::absolute(options.folder / "split.json").lexically_normal();
}

void StopIfRequested() {
  if (StopRequested()) {
    throw Error(ErrorKind::kInterrupted,
                "stopped; everything finished is kept, continue with --resume");
  }
}

// Baselines have layers that the space lacks: without these, what a table says of them would be a
// guess.
std::vector<net::Network> BaselinesToMeasure(const StudyContext& context) {
  const std::vector<int>& resolutions = context.space.resolution().values;
  std::vector<net::Network> networks;
  for (const int resolution : std::set<int>{resolutions.front(), resolutions.back()}) {
    for (const std::string& name : context.config.baselines) {
      std::ranges::move(BaselineVersions(context, name, resolution), std::back_inserter(networks));
    }
  }
  return networks;
}

latency::Lut MeasureLayers(const StudyContext& context) {
  const study::StudyConfig& config = context.config;
  if (context.given_lut) {
    latency::WriteLut(context.options.folder / "lut.json", *context.given_lut);
    return *context.given_lut;
  }
  const fs::path file = context.options.folder / "lut.json";
  if (fs::exists(file)) {
    latency::Lut lut = latency::ReadLut(file);
    if (lut.band) {  // complete: the check against whole networks comes last
      latency::CheckTarget(lut, context.engine->Target(), file);
      return lut;
    }
  }
  Progress progress({.stage = "measuring layers", .total = 100, .quiet = context.options.quiet});
  const uint64_t seed = SubSeed(config.seed, "lut");
  const auto draw = [&](uint64_t number) {
    Random random(SubSeed(seed, "draw", number));
    return context.space.Decode(context.space.Sample(random), context.head);
  };
  latency::Lut lut = latency::BuildLut(
      *context.engine, draw,
      {.seconds = config.lut_seconds,
       .seed = seed,
       .also = BaselinesToMeasure(context),
       .between_us =
           latency::Interval{.low = config.subspace_low_us, .high = config.subspace_high_us},
       .file = file,
       .on_progress = [&](const latency::BuildProgress& build) {
         StopIfRequested();
         progress.Update(
             static_cast<int64_t>(std::min(100.0, 100 * build.seconds / build.seconds_budget)),
             fmt::format("{} keys in {} networks", build.keys_measured, build.networks_done),
             std::max(0.0, build.seconds_budget - build.seconds));
       }});
  return lut;
}

std::string DescribeBuckets(const space::SubspaceCounts& counts, const std::vector<double>& edges) {
  std::string text;
  for (size_t i = 0; i < counts.buckets.size(); ++i) {
    const std::string from = i == 0 ? "0" : fmt::format("{:.3f}", edges[i - 1] / 1000);
    const std::string to = i == edges.size() ? "up" : fmt::format("{:.3f}", edges[i] / 1000);
    text +=
        fmt::format("{}{}-{} ms: {:.3g}", i ? ", " : "", from, to, counts.buckets[i].count.approx);
  }
  return text;
}

// An error that helps when the sub-space is empty.
void CheckSubspace(const StudyContext& context, const space::CostTables& tables) {
  const study::StudyConfig& config = context.config;
  const space::CostRange range = space::RangeOf(tables);
  const space::SubspaceOptions subspace = SubspaceOf(config);
  const double least_ms = space::MsOf(range.least.latency_ps);
  if (range.least.latency_ps > space::PsOfUs(config.target.latency_us)) {
    throw Error(ErrorKind::kTargetNotReached,
                "{}: [target] latency_ms = {:g}: no network of space '{}' is that fast on this "
                "device; the fastest needs {:.3f} ms. Raise the budget or allow smaller networks "
                "in [space.restrict]",
                config.source.string(), config.target.latency_us / 1000, context.space.name(),
                least_ms);
  }
  if (range.least.latency_ps > subspace.high_ps) {
    throw Error(ErrorKind::kInput,
                "{}: the sub-space {:g}-{:g} ms is empty: the fastest network of space '{}' needs "
                "{:.3f} ms. Raise subspace_ms in [stage1]",
                config.source.string(), config.subspace_low_us / 1000,
                config.subspace_high_us / 1000, context.space.name(), least_ms);
  }
  if (range.greatest.latency_ps < subspace.low_ps) {
    throw Error(ErrorKind::kInput,
                "{}: the sub-space {:g}-{:g} ms is empty: the slowest network of space '{}' needs "
                "{:.3f} ms. Lower subspace_ms in [stage1]",
                config.source.string(), config.subspace_low_us / 1000,
                config.subspace_high_us / 1000, context.space.name(),
                space::MsOf(range.greatest.latency_ps));
  }
}

// Sobol candidates into subspace.csv, and the exact number of networks per latency sub-space.
void CategoriseSpace(const StudyContext& context, const space::CostTables& tables,
                     study::Store& store) {
  const study::StudyConfig& config = context.config;
  const space::Stage1 stage1 = space::Categorise(tables, {.points = config.stage1_points,
                                                          .seed = SubSeed(config.seed, "sobol"),
                                                          .edges_us = config.edges_us,
                                                          .threads = AvailableThreads()});
  space::WriteCsv(context.options.folder / "subspace.csv", context.space, stage1);
  std::vector<int64_t> edges_ps;
  for (const double edge : config.edges_us) edges_ps.push_back(space::PsOfUs(edge));
  nlohmann::json json = {{"edges_us", stage1.edges_us}, {"counts", stage1.bucket_counts}};
  if (!edges_ps.empty()) {
    const space::SubspaceCounts counts =
        space::CountSubspaces(tables, {.edges_ps = edges_ps, .limits = {}});
    spdlog::info("stage 1: {:.3g} networks: {}", counts.networks.approx,
                 DescribeBuckets(counts, config.edges_us));
    for (const auto& bucket : counts.buckets) json["networks"].push_back(bucket.count.approx);
  }
  store.SetValue("stage1", json.dump());
}

std::vector<study::Parameter> ParametersOf(const space::SearchSpace& space) {
  std::vector<study::Parameter> parameters;
  for (const space::Gene& gene : space.genes()) {
    parameters.push_back({.name = gene.name, .choices = gene.choices, .ordinal = gene.ordinal});
  }
  return parameters;
}

std::string TrialLine(const study::TrialRecord& trial, bool best) {
  if (trial.state != study::TrialState::kComplete) {
    return fmt::format("trial {:>4}  {}  {}", trial.number, study::Name(trial.state), trial.reason);
  }
  return fmt::format(
      "trial {:>4}  accuracy {:5.2f} %  loss {:.4f}  latency {:.3f} ms  {:>7} params  objective "
      "{:.4f}  {}{}",
      trial.number, 100 * trial.Metric("accuracy"), trial.Metric("loss"), trial.latency_us / 1000,
      FormatShort(trial.Metric("params")), trial.value.value_or(0),
      FormatSeconds(trial.end - trial.begin), best ? "  <- best" : "");
}

// The number of the epoch that ends a trial.
int LastEpoch(const StudyContext& context) {
  const train::Recipe& recipe = context.config.trial_recipe;
  const int64_t batches = context.splits.search_train->size() / recipe.batch;
  return static_cast<int>(train::LengthOf(recipe, batches).epochs());
}

std::string_view WhyEnded(study::SearchEnd end) {
  switch (end) {
    case study::SearchEnd::kTrialsDone:
      return "all trials are done";
    case study::SearchEnd::kTimeUp:
      return "max_minutes are over";
    case study::SearchEnd::kSlotTimeUp:
      return "max_gpu_hours are used up";
    case study::SearchEnd::kAccurate:
      return "a trial has stop_accuracy";
    case study::SearchEnd::kExhausted:
      return "every network of the sub-space was tried";
    case study::SearchEnd::kStopped:
      return "it was stopped";
  }
  throw Error(ErrorKind::kInternal, "unknown end of a search {}", static_cast<int>(end));
}

void Optimise(const StudyContext& context, const std::vector<study::EarlierResults>& earlier,
              study::Store& store, study::SubspaceSource& source) {
  const study::StudyConfig& config = context.config;
  const std::unique_ptr<search::Proposer> proposer =
      MakeStudyProposer(config, context.space, source);
  const std::unique_ptr<study::Executor> executor =
      context.MakeExecutor(context.options.folder / "trials");
  Progress progress({.stage = "searching", .total = config.trials, .quiet = context.options.quiet});
  double best_value = 0;
  double best_accuracy = 0;
  bool any = false;
  const auto note_best = [&](const study::TrialRecord& trial) {
    if (trial.state != study::TrialState::kComplete || !trial.value) return false;
    if (any && *trial.value >= best_value) return false;
    any = true;
    best_value = *trial.value;
    best_accuracy = trial.Metric("accuracy");
    return true;
  };
  FinalistsForecast forecast(context, executor->FreeSlots());
  study::ControllerHooks hooks;
  hooks.prepare = [&](const study::TrialRecord& trial, const fs::path& folder) {
    PrepareTrial(context, folder, trial.number, "search", source.NetworkOf(trial.encoding));
  };
  hooks.candidate = [&](const std::vector<int>& encoding) { return source.Describe(encoding); };
  hooks.costs = [&](const std::vector<int>& encoding) {
    const net::Costs costs = net::Count(source.NetworkOf(encoding));
    return std::map<std::string, double>{{"params", static_cast<double>(costs.params)},
                                         {"macs", static_cast<double>(costs.macs)}};
  };
  hooks.on_finished = [&](const study::TrialRecord& trial) {
    const bool best = note_best(trial);
    forecast.Note(trial);
    progress.PrintLine(TrialLine(trial, best));
  };
  hooks.on_progress = [&](const study::SearchProgress& at) {
    std::string note = fmt::format("{} running", at.running);
    if (any) note += ", best " + FormatPercent(best_accuracy);
    if (const std::optional<double> after = forecast.Seconds())
      note += fmt::format(", finalists within {} after that", FormatSeconds(*after));
    progress.Update(at.done, note, at.seconds_left.value_or(-1));
  };
  hooks.refuse = [&](const std::vector<int>& encoding) -> std::string {
    try {
      context.space.Check(encoding);
      return WhyNotTried(config, encoding, source);
    } catch (const Error& error) {
      return error.what();
    }
  };
  hooks.stop = context.stop;
  study::ControllerOptions options{
      .trials_folder = context.options.folder / "trials",
      .trials = config.trials,
      .queue = context.enqueued,
      .max_seconds = config.max_seconds,
      .max_slot_seconds =
          config.gpus_per_trial > 0 ? config.max_gpu_seconds / config.gpus_per_trial : 0,
      .stop_accuracy = config.stop_accuracy,
      .ahead = executor->FreeSlots() / kSlotsPerTrialAhead,
      .max_starts = 1 + config.max_retries,
      .cancel_on_stop = config.CancelsOnStop(),
      .objective = config.objective,
      .pruning = config.pruning,
      .latency_budget_us = config.target.latency_us,
      .poll_interval = std::chrono::milliseconds(config.executor == "slurm" ? 500 : 100),
      .jobs_file = context.options.folder / study::kJobsFile,
      .orders_folder = context.options.folder / study::kOrdersFolder};
  options.pruning.last_step = LastEpoch(context);
  std::ranges::move(ImportEarlier(earlier, config, source, options, hooks, store),
                    std::back_inserter(options.queue));
  for (const study::TrialRecord& trial : store.Trials()) note_best(trial);
  const study::SearchEnd end = study::RunController(store, *proposer, *executor, options, hooks);
  if (end == study::SearchEnd::kStopped) StopIfRequested();
  store.LogEvent(fmt::format("search ended: {}", WhyEnded(end)));
}

// Finds out now, not after the training, that the engine can't do what the study asks of it.
void CheckEngine(const study::StudyConfig& config, engine::Engine& engine,
                 const space::SearchSpace& space, space::SearchSpace::Head head) {
  Random random(config.seed);
  const net::Network network = space.Decode(space.Sample(random), head);
  engine.Compile(network, net::RandomWeights(net::Lower(network), config.seed), {});
}

// Trials are told apart by their objectives: it stays what it was.
void KeepObjective(const study::StudyConfig& config, study::Store& store) {
  constexpr char kKey[] = "objective";
  const std::string now = ToText(config.objective);
  const std::optional<std::string> before = store.Value(kKey);
  if (before && *before != now && store.next_number() > 0) {
    throw Error(ErrorKind::kInput,
                "{}: [search] goal, alpha and beta cannot change once a study has trials: they are "
                "{} now, and were {}. Restore them, or start a new study",
                config.source.string(), now, *before);
  }
  store.SetValue(kKey, now);
}

void StartFolder(const SearchOptions& options) {
  const fs::path& folder = options.folder;
  if (fs::exists(folder / "study.db") && !options.resume) {
    throw Error(
        ErrorKind::kInput,
        "{} holds a study already; continue it with --resume, or choose another folder with --dir",
        folder.string());
  }
  MakeFolder(folder);
}

}  // namespace

std::unique_ptr<study::Executor> StudyContext::MakeExecutor(const fs::path& trials_folder) const {
  std::vector<std::string> command = {OwnExecutable().string(), "trial"};
  if (config.executor == "slurm") {
    return executor::MakeSlurmExecutor(
        {.jobs = config.slots,
         .processes_per_trial = config.processes_per_trial,
         .threads_per_process = config.threads_per_slot / config.processes_per_trial,
         .gpus_per_trial = config.gpus_per_trial,
         .hang_seconds = config.hang_seconds,
         .queue = config.slurm,
         .study = config.name,
         .trials_folder = trials_folder,
         .command = std::move(command)});
  }
  return executor::MakeLocalExecutor({.slots = config.slots,
                                      .threads_per_slot = config.threads_per_slot,
                                      .gpus_per_slot = config.gpus_per_trial,
                                      .command = std::move(command),
                                      .hang_seconds = config.hang_seconds,
                                      .memory_bytes = 1e9 * config.memory_gb});
}

StudyContext OpenStudy(const study::StudyConfig& config, const SearchOptions& options) {
  space::SearchSpace space = LoadSpace(config);
  if (config.evaluator.HasProgram()) CheckProgram(config.evaluator);
  data::Splits splits = data::OpenSplits(config.data, SplitSeed(config));
  const space::SearchSpace::Head head{
      .channels = splits.train->channels(),
      .classes = static_cast<int>(splits.train->class_names().size())};
  std::vector<space::Encoding> enqueued = EnqueuedEncodings(config, space);
  std::unique_ptr<engine::Engine> engine = MakeEngine(config.target.engine, config.target.options);
  CheckEngine(config, *engine, space, head);
  std::optional<latency::Lut> given_lut;
  if (!config.lut_file.empty()) {
    given_lut = latency::ReadLut(config.lut_file);
    latency::CheckTarget(*given_lut, engine->Target(), config.lut_file);
  }
  return {.config = config,
          .options = options,
          .space = std::move(space),
          .head = head,
          .splits = std::move(splits),
          .enqueued = std::move(enqueued),
          .engine = std::move(engine),
          .given_lut = std::move(given_lut)};
}

std::vector<net::Network> BaselineVersions(const StudyContext& context, const std::string& name,
                                           int resolution) {
  static constexpr std::array kWidths = {1.0, 0.75, 0.5, 0.35, 0.25, 0.125};
  const bool fixed = name.find('@') != std::string::npos;
  const auto entry = std::ranges::find(net::Zoo(), name, &net::ZooEntry::name);
  const bool scalable = !fixed && entry != net::Zoo().end() && entry->scalable;
  std::vector<net::Network> versions;
  for (const double width : kWidths) {
    if (!scalable && width != 1.0) break;
    const std::string full_name = fixed ? name : fmt::format("{}@{}x{:g}", name, resolution, width);
    versions.push_back(net::ZooNetwork(
        full_name, {.channels = context.head.channels, .classes = context.head.classes}));
    versions.back().name = full_name;
  }
  return versions;
}

std::unique_ptr<engine::CompiledModel> CompileUntrained(const StudyContext& context,
                                                        const net::Network& network) {
  return context.engine->Compile(network,
                                 net::RandomWeights(net::Lower(network), context.config.seed), {});
}

TimedBaseline FitBaseline(const StudyContext& context, const std::string& name, int resolution,
                          double limit_us,
                          const std::function<engine::Timing(engine::CompiledModel&)>& time) {
  TimedBaseline baseline;
  for (net::Network& network : BaselineVersions(context, name, resolution)) {
    baseline.latency_us = time(*CompileUntrained(context, network)).median_us;
    baseline.network = std::move(network);
    baseline.fits = baseline.latency_us <= limit_us;
    if (baseline.fits) break;
  }
  return baseline;
}

void PrepareTrial(const StudyContext& context, const fs::path& folder, int64_t number,
                  const std::string& kind, const net::Network& network) {
  const study::StudyConfig& config = context.config;
  WriteFileQuickly(folder / "network.json", net::ToJson(network));  // again before every start
  const train::Recipe& recipe = kind == "search" ? config.trial_recipe : config.finalist_recipe;
  study::WriteSpec(
      folder,
      {.number = number,
       .study = config.name,
       .kind = kind,
       .seed = SubSeed(config.seed, kind, static_cast<uint64_t>(number)),
       .processes = config.processes_per_trial,
       .threads = config.threads_per_slot / config.processes_per_trial,
       .config_toml = fmt::format(
           "split_seed = {}\nsplit_file = {}\nsample = {}\n{}\n[recipe]\n{}\n{}", SplitSeed(config),
           TomlQuoted(SplitFile(context.options).string()), context.sample, ToToml(config.data),
           train::ToToml(recipe), ToToml(config.evaluator))});
}

bool IsSearching(const fs::path& study) { return IsLocked(study / kLockFile); }

int RunSearch(const study::StudyConfig& config, const SearchOptions& options, bool json) {
  const Clock::time_point start = Clock::now();
  StudyContext context = OpenStudy(config, options);
  StartFolder(options);
  const FileLock lock(
      options.folder / kLockFile,
      fmt::format("{}: another lathe process is running this study", options.folder.string()));
  context.stop = StopWanted(options.folder);
  study::Store store(options.folder / "study.db", config.name, ParametersOf(context.space),
                     config.objective.goal());
  KeepObjective(config, store);
  const std::vector<study::EarlierResults> earlier = ReadNewSources(config, context.space, &store);
  WriteFileAtomically(options.folder / "study.toml", config.resolved_toml);  // what was not refused
  if (config.evaluator.HasProgram()) WriteSplit(SplitFile(options), context.splits);
  spdlog::info("study {}: {} on {}, budget {}, {} training images, space {} (10^{:.1f} networks)",
               config.name, context.engine->Target().engine, context.engine->Target().device_name,
               FormatMs(config.target.latency_us), context.splits.train->size(),
               context.space.name(), context.space.size_log10());

  const latency::Lut lut = MeasureLayers(context);
  spdlog::info(
      "look-up table: {} keys{}", lut.entries.size(),
      lut.band ? fmt::format(", whole networks within {:.1f} % on average, 95 % within {:.1f} %",
                             100 * lut.band->mape, 100 * lut.band->p95)
               : "");
  StopIfRequested();
  const latency::Estimator estimator(lut);
  const latency::PricedSpace priced =
      PriceStudy(config, context.space, context.head, estimator, options.folder);
  CheckSubspace(context, priced.tables);
  CategoriseSpace(context, priced.tables, store);
  study::SubspaceSource source(priced.tables, context.head, SubspaceOf(config));
  CheckEnqueued(config, context.enqueued, source);
  SaveHead(store, context.head);
  Optimise(context, earlier, store, source);
  const FinalistTable table = MakeFinalists(context, store, source, estimator);
  const fs::path report = options.folder / "report.html";
  WriteStudyReport(options.folder);
  json ? PrintJson(ToJson(table)) : PrintText(ToText(table, options.folder));
  spdlog::info("done in {}; report: {}", FormatSeconds(SecondsSince(start)), report.string());
  if (table.AnyMeetsTarget()) return 0;
  spdlog::error("no finalist meets the target ({}{}) as measured; see {}",
                FormatMs(config.target.latency_us),
                config.target.accuracy > 0
                    ? fmt::format(", accuracy {}", FormatPercent(config.target.accuracy))
                    : "",
                report.string());
  return 3;
}

}  // namespace lathe::cli
