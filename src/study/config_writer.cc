#include "study/config_writer.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/quote.h"

namespace lathe::study {
namespace {

class Writer {
 public:
  void Header(std::string_view table) { text_ += fmt::format("\n[{}]\n", table); }
  void Raw(const std::string& text) { text_ += text; }
  template <typename T>
  void Key(std::string_view key, const T& value) {
    text_ += fmt::format("{} = {}\n", key, value);
  }
  void Text(std::string_view key, const std::string& value) { Key(key, TomlQuoted(value)); }
  void Ms(std::string_view key, const std::vector<double>& values_us) {
    std::vector<double> values_ms;
    for (double value_us : values_us) values_ms.push_back(value_us / 1000);
    Key(key, fmt::format("[{}]", fmt::join(values_ms, ", ")));
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void WriteSlurm(const SlurmConfig& slurm, Writer& writer) {
  writer.Header("slurm");
  writer.Text("partition", slurm.partition);
  writer.Text("account", slurm.account);
  writer.Text("qos", slurm.qos);
  writer.Text("constraint", slurm.constraint);
  writer.Text("gres", slurm.gres);
  writer.Text("time_limit", slurm.time_limit);
  writer.Text("memory", slurm.memory);
  writer.Key("nodes", slurm.nodes);
  writer.Key("extra", nlohmann::json(slurm.extra).dump());
  writer.Key("setup", nlohmann::json(slurm.setup).dump());
  writer.Key("save_seconds", slurm.save_seconds);
  writer.Key("poll_seconds", slurm.poll_seconds);
  writer.Key("cancel_on_stop", slurm.cancel_on_stop);
}

}  // namespace

std::string ToToml(const StudyConfig& config) {
  Writer writer;
  writer.Raw(fmt::format("# Resolved from {}; defaults and recipes spelled out.\n",
                         TomlQuoted(fs::absolute(config.source).string())));
  writer.Text("format", "lathe-study");
  writer.Key("version", 1);
  writer.Header("study");
  writer.Text("name", config.name);
  writer.Key("seed", config.seed);
  writer.Raw("\n" + data::ToToml(config.data));
  writer.Header("space");
  writer.Text("file", config.space_file.string());
  if (!config.restrict.empty()) {
    writer.Header("space.restrict");
    for (const auto& [gene, choices] : config.restrict) {
      writer.Key(TomlQuoted(gene), fmt::format("[{}]", fmt::join(choices, ", ")));
    }
  }
  writer.Header("target");
  writer.Text("engine", config.target.engine);
  writer.Text("device", config.target.options.device);
  writer.Key("threads", config.target.options.threads);
  writer.Key("batch", config.target.options.batch);
  writer.Text("precision", std::string(engine::Name(config.target.options.precision)));
  writer.Key("latency_ms", config.target.latency_us / 1000);
  writer.Key("accuracy", config.target.accuracy);
  writer.Header("latency");
  writer.Key("build_seconds", config.lut_seconds);
  if (!config.lut_file.empty()) writer.Text("file", config.lut_file.string());
  writer.Header("stage1");
  writer.Key("points", config.stage1_points);
  writer.Ms("edges_ms", config.edges_us);
  writer.Ms("subspace_ms", {config.subspace_low_us, config.subspace_high_us});
  writer.Header("search");
  writer.Text("proposer", config.proposer);
  writer.Key("trials", config.trials);
  writer.Key("max_minutes", config.max_seconds / 60);
  writer.Key("max_gpu_hours", config.max_gpu_seconds / 3600);
  writer.Key("stop_accuracy", config.stop_accuracy);
  writer.Key("max_retries", config.max_retries);
  writer.Text("goal", std::string(Name(config.objective.aim)));
  if (config.objective.aim == Aim::kWeighted) {
    writer.Key("alpha", config.objective.weights.alpha);
    writer.Key("beta", config.objective.weights.beta);
  }
  writer.Key("enqueue", nlohmann::json(config.enqueue).dump());
  std::vector<std::string> earlier;
  for (const fs::path& path : config.warm_start) earlier.push_back(path.string());
  writer.Key("warm_start", nlohmann::json(earlier).dump());
  writer.Key("warm_start_best", config.warm_start_best);
  writer.Header("pruning");
  writer.Text("rule", config.pruning.rule);
  writer.Key("first_epoch", config.pruning.first_step);
  writer.Key("reduction", config.pruning.reduction);
  writer.Key("startup", config.pruning.startup);
  writer.Raw("\n" + ToToml(config.evaluator));
  writer.Header("trial");
  writer.Raw(train::ToToml(config.trial_recipe));
  writer.Header("finalists");
  writer.Key("count", config.finalists);
  writer.Raw(train::ToToml(config.finalist_recipe));
  writer.Header("int8");
  writer.Key("finalists", config.int8.finalists);
  writer.Key("images", config.int8.images);
  writer.Text("ranges", config.int8.ranges);
  writer.Key("max_drop", config.int8.max_drop);
  writer.Header("baselines");
  writer.Key("networks", nlohmann::json(config.baselines).dump());
  writer.Header("executor");
  writer.Text("kind", config.executor);
  writer.Key("slots", config.slots);
  writer.Key("threads_per_slot", config.threads_per_slot);
  writer.Key("processes_per_trial", config.processes_per_trial);
  writer.Key("gpus_per_trial", config.gpus_per_trial);
  writer.Key("memory_gb", config.memory_gb);
  writer.Key("hang_minutes", config.hang_seconds / 60);
  WriteSlurm(config.slurm, writer);
  return writer.Take();
}

}  // namespace lathe::study
