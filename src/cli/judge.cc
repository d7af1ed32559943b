#include "cli/judge.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/quote.h"
#include "cli/common.h"
#include "cli/version.h"
#include "data/preprocessing_file.h"
#include "deploy/quantize_model.h"
#include "engine/timing.h"
#include "onnx/export.h"
#include "study/trial.h"
#include "train/trainer.h"

namespace lathe::cli {
namespace {

using engine::Precision;

std::string ReproduceCommand(const StudyContext& context) {
  std::string command = "lathe search " + ShellQuoted(context.config.source.string());
  for (const std::string& setting : context.options.overrides)
    command += " --set " + ShellQuoted(setting);
  return command;
}

double TrainingSeconds(const fs::path& folder) {
  const std::vector<study::MetricLine> epochs = study::ReadMetrics(folder);
  if (epochs.empty() || !epochs.back().values.contains("seconds")) return 0;
  return epochs.back().values.at("seconds");
}

deploy::Package PackageOf(const StudyContext& context, const deploy::SearchCost& search,
                          const Contender& contender) {
  const study::StudyConfig& config = context.config;
  const fs::path weights_file = contender.folder / "weights.safetensors";
  deploy::Package package;
  package.network = contender.network;
  package.weights = net::ReadSafetensors(weights_file);
  package.preprocessing = PreprocessingOf(package.weights, weights_file.string(),
                                          *context.splits.train, contender.network.input.h);
  package.class_names = context.splits.train->class_names();
  package.target = context.engine->Target();
  package.latency_budget_us = config.target.latency_us;
  package.latency_lut_us = contender.lut_us;
  package.origin = fmt::format("{} of study {}", contender.origin, config.name);
  package.data_name = config.data.kind;
  package.recipe_toml = train::ToToml(config.finalist_recipe);
  if (config.evaluator.HasProgram()) package.recipe_toml += "\n" + ToToml(config.evaluator);
  package.command = ReproduceCommand(context);
  package.cost = search;
  package.cost.training_seconds = TrainingSeconds(contender.folder);
  package.seed = config.seed;
  return package;
}

std::map<std::string, std::string> MetadataOf(const deploy::Package& package) {
  const nlohmann::json classes = package.class_names;
  std::map<std::string, std::string> metadata = {
      {"lathe.version", kVersion},
      {"lathe.origin", package.origin},
      {"lathe.latency_budget_us", fmt::format("{}", package.latency_budget_us)},
      {"lathe.latency_lut_us", fmt::format("{}", package.latency_lut_us)},
      {"lathe.preprocessing", data::ToJson(package.preprocessing)},
      {"lathe.classes", classes.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
  for (const auto& [name, value] : package.target.Fields())
    metadata["lathe.target." + name] = value;
  return metadata;
}

// The engine of the study in another precision; none, with a word why, where it cannot be.
std::unique_ptr<engine::Engine> EngineIn(const StudyContext& context, Precision precision) {
  engine::TargetOptions options = context.config.target.options;
  options.precision = precision;
  try {
    return MakeEngine(context.config.target.engine, options);
  } catch (const Error& error) {
    spdlog::info("{} is left out: {}", engine::Name(precision), error.what());
    return nullptr;
  }
}

class Judging {
 public:
  Judging(const StudyContext& context, const deploy::SearchCost& search, const Contender& contender)
      : context_(context),
        contender_(contender),
        target_(context.config.target.options.precision),
        package_(PackageOf(context, search, contender)),
        trained_(contender.network, package_.weights, AvailableThreads()) {}

  Judged Run() {
    Export(deploy::kModelFile, std::nullopt);
    if (WantsInt8()) Quantize();
    if (package_.onnx_files.contains(FileOf(target_))) Measure();
    return {.row = Row(), .package = std::move(package_)};
  }

 private:
  static const char* FileOf(Precision precision) {
    return precision == Precision::kInt8 ? deploy::kInt8File : deploy::kModelFile;
  }

  bool IsOpenVino() const { return context_.config.target.engine == "openvino"; }

  bool WantsInt8() const {
    return target_ == Precision::kInt8 ||
           (IsOpenVino() && contender_.kind == "finalist" && context_.config.int8.finalists);
  }

  void Export(const char* file, const std::optional<onnx::Quantization>& quantization) {
    onnx::ExportOptions options{.metadata = MetadataOf(package_), .quantization = quantization};
    std::string& bytes = package_.onnx_files[file];
    bytes = onnx::ToOnnx(contender_.network, package_.weights, options);
    WriteFileAtomically(contender_.folder / file, bytes);
    if (file != std::string_view(FileOf(target_)) || contender_.kind != "finalist") return;
    options.batch = 0;
    package_.triton_onnx = onnx::ToOnnx(contender_.network, package_.weights, options);
  }

  void Quantize() {
    const std::unique_ptr<engine::Engine> engine = EngineIn(context_, Precision::kInt8);
    if (!engine) return;
    const study::Int8Config& config = context_.config.int8;
    deploy::QuantizedModel quantized =
        deploy::QuantizeModel(contender_.network, package_.weights, trained_, *engine,
                              context_.splits.train, package_.preprocessing,
                              {.method = deploy::RangeMethodOf(config.ranges),
                               .images = config.images,
                               .max_drop = config.max_drop});
    if (quantized.holds) {
      Export(deploy::kInt8File, quantized.quantization);
      package_.quantized = std::move(quantized);
      return;
    }
    problem_ = fmt::format(
        "int8 takes accuracy from {} to {} on training images, [int8] max_drop "
        "is {:g}",
        FormatPercent(quantized.accuracy_float), FormatPercent(quantized.accuracy_int8),
        config.max_drop);
    if (target_ == Precision::kInt8) return;
    spdlog::warn("{}: no int8 file: {}", contender_.name, problem_);
    problem_.clear();
  }

  // In the target's precision first, then in the others that the engine has. An engine that loads
  // no files is timed on the network itself, and OpenVINO says what the file computes.
  void Measure() {
    std::vector<Precision> precisions = {target_};
    if (IsOpenVino() && contender_.kind == "finalist") {
      for (const Precision other : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
        if (other != target_ && package_.onnx_files.contains(FileOf(other)))
          precisions.push_back(other);
      }
    }
    std::vector<std::unique_ptr<engine::CompiledModel>> models;
    std::vector<engine::CompiledModel*> timed;
    std::vector<deploy::ExportedModel> exported;
    for (const Precision precision : precisions) {
      const std::unique_ptr<engine::Engine> other =
          precision == target_ ? nullptr : EngineIn(context_, precision);
      if (precision != target_ && !other) continue;
      engine::Engine& engine = other ? *other : *context_.engine;
      const std::string file = (contender_.folder / FileOf(precision)).string();
      models.push_back(engine.LoadsFiles()
                           ? engine.Load(file)
                           : engine.Compile(contender_.network, package_.weights, {}));
      timed.push_back(models.back().get());
      if (!engine.LoadsFiles()) {
        const auto reader = MakeEngine("openvino", {.threads = AvailableThreads()});
        package_.read_by = reader->Target();
        models.push_back(reader->Load(file));
      }
      exported.push_back({models.back().get()});
      package_.variants.push_back({.precision = precision, .file = FileOf(precision)});
    }
    package_.measured = engine::TimeUndisturbed(
        *timed.front(), {.warmup = 50, .min_runs = 300, .min_seconds = 1.0});
    const std::vector<engine::Timing> timings =
        timed.size() > 1 ? engine::TimeSteadily(timed, 5) : std::vector{package_.measured};
    const std::vector<deploy::Verification> verifications = deploy::Verify(
        [&](std::span<const float> images, int count) { return trained_.Logits(images, count); },
        exported, context_.splits.test, package_.preprocessing);
    for (size_t i = 0; i < timings.size(); ++i) {
      package_.variants[i].measured = timings[i];
      package_.variants[i].verification = verifications[i];
    }
    deploy::Tolerance tolerance =
        deploy::ToleranceOf(package_.read_by ? package_.read_by->options.precision : target_);
    if (target_ == Precision::kInt8) tolerance.max_drop = context_.config.int8.max_drop;
    problem_ = deploy::Complaint(package_.deployed().verification, tolerance);
  }

  FinalistRow Row() const {
    const net::Costs costs = net::Count(contender_.network);
    const std::string folder = fs::relative(contender_.folder, context_.options.folder).string();
    FinalistRow row{.name = contender_.name,
                    .kind = contender_.kind,
                    .origin = contender_.origin,
                    .path = folder,
                    .training = folder,
                    .lut_us = contender_.lut_us,
                    .measured_us = contender_.measured_us,
                    .params = costs.params,
                    .macs = costs.macs,
                    .precisions = {},
                    .meets_target = false,
                    .problem = problem_};
    if (package_.variants.empty()) return row;
    const deploy::Verification& verification = package_.deployed().verification;
    row.accuracy = verification.accuracy_trained();
    row.accuracy_exported = verification.accuracy_exported();
    row.images = verification.images;
    row.disagreements = verification.disagreements;
    row.measured_us = package_.measured.median_us;
    row.p10_us = package_.measured.p10_us;
    row.p90_us = package_.measured.p90_us;
    for (const deploy::Variant& variant : package_.variants) {
      row.precisions.push_back({.precision = std::string(engine::Name(variant.precision)),
                                .file = variant.file,
                                .median_us = variant.measured.median_us,
                                .accuracy = variant.verification.accuracy_exported(),
                                .agreement = variant.verification.agreement()});
    }
    const study::TargetConfig& target = context_.config.target;
    row.meets_target = row.problem.empty() && row.measured_us <= target.latency_us &&
                       row.accuracy_exported >= target.accuracy;
    return row;
  }

  const StudyContext& context_;
  const Contender& contender_;
  const Precision target_;
  deploy::Package package_;
  train::TrainedModel trained_;
  std::string problem_;
};

}  // namespace

Judged Judge(const StudyContext& context, const deploy::SearchCost& search,
             const Contender& contender) {
  return Judging(context, search, contender).Run();
}

}  // namespace lathe::cli
