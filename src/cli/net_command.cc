// lathe net show | time; its other subcommands are in files of their own.
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/common.h"
#include "cli/net_classify.h"
#include "cli/net_export.h"
#include "cli/net_train.h"
#include "engine/timing.h"
#include "latency/estimator.h"
#include "net/network_file.h"

namespace lathe::cli {
namespace {

struct NetFlags {
  std::string network, lut;
  TargetFlags target;
};

// What a table says of a network beside what was measured of it.
struct TimedNetwork {
  net::Network network;
  engine::Timing timing;
  std::vector<double> layers_us;  // 0: the profiler does not show it
  std::optional<latency::NetworkEstimate> estimate;
};

TimedNetwork TimeNetwork(const Globals& globals, const NetFlags& flags) {
  TimedNetwork timed{.network = LoadNetwork(flags.network), .timing = {}, .layers_us = {}};
  const std::unique_ptr<engine::Engine> engine = flags.target.Make();
  if (!flags.lut.empty()) {
    const latency::Lut lut = latency::ReadLut(flags.lut);
    latency::CheckTarget(lut, engine->Target(), flags.lut);
    timed.estimate = latency::Estimator(lut).Network(timed.network);
  }
  const net::Weights weights = net::RandomWeights(net::Lower(timed.network), globals.seed);
  timed.timing = engine::TimeSteadily(*engine->Compile(timed.network, weights, {}));
  timed.layers_us.assign(timed.network.layers.size(), 0.0);
  const std::vector<engine::LayerTime> profile =
      engine->Compile(timed.network, weights, {.profile = true})
          ->Profile({.warmup = 20, .min_runs = 50, .min_seconds = 0.5});
  for (const engine::LayerTime& layer : profile)
    timed.layers_us[static_cast<size_t>(layer.layer)] = layer.median_us;
  return timed;
}

void AddPrediction(const latency::NetworkEstimate& estimate, nlohmann::ordered_json& json) {
  json["predicted_us"] = estimate.latency_us;
  json["predicted_sigma_us"] = estimate.sigma_us;
  json["predicted_layers"] = nlohmann::ordered_json::array();
  for (const latency::Estimate& layer : estimate.layers) {
    json["predicted_layers"].push_back({{"latency_us", layer.latency_us},
                                        {"sigma_us", layer.sigma_us},
                                        {"measured", layer.measured}});
  }
}

std::string PredictionText(const latency::NetworkEstimate& estimate) {
  return fmt::format("predicted: {} +- {}, {} of {} layers estimated",
                     FormatMs(estimate.latency_us), FormatMs(estimate.sigma_us),
                     estimate.estimated_layers, estimate.layers.size());
}

nlohmann::ordered_json JsonOf(const TimedNetwork& timed) {
  nlohmann::ordered_json json = {
      {"network", timed.network.name}, {"median_us", timed.timing.median_us},
      {"p10_us", timed.timing.p10_us}, {"p90_us", timed.timing.p90_us},
      {"runs", timed.timing.runs},     {"layers_us", timed.layers_us}};
  if (timed.estimate) AddPrediction(*timed.estimate, json);
  return json;
}

std::string TextOf(const TimedNetwork& timed) {
  std::vector<std::vector<std::string>> rows = {{"layer", "op", "input", "out", "measured us"}};
  if (timed.estimate) {
    for (const char* name : {"predicted us", "+-", "error", ""}) rows[0].emplace_back(name);
  }
  for (size_t i = 0; i < timed.network.layers.size(); ++i) {
    const net::Layer& layer = timed.network.layers[i];
    const double us = timed.layers_us[i];
    std::vector<std::string>& row = rows.emplace_back();
    row = {std::to_string(i), std::string(net::Name(layer.op)),
           fmt::format("{}x{}x{}", layer.in.c, layer.in.h, layer.in.w),
           std::to_string(layer.out_channels), fmt::format("{:.2f}", us)};
    if (!timed.estimate) continue;
    const latency::Estimate& estimate = timed.estimate->layers[i];
    row.push_back(fmt::format("{:.2f}", estimate.latency_us));
    row.push_back(fmt::format("{:.2f}", estimate.sigma_us));
    row.push_back(us > 0 ? fmt::format("{:+.1f} %", 100 * (estimate.latency_us / us - 1)) : "");
    row.push_back(estimate.measured ? "" : "estimated");
  }
  const engine::Timing& timing = timed.timing;
  std::string text = FormatTable(rows);
  text += fmt::format("end to end: {} (p10 {}, p90 {}, {} runs)\n", FormatMs(timing.median_us),
                      FormatMs(timing.p10_us), FormatMs(timing.p90_us), timing.runs);
  if (timed.estimate) {
    text += fmt::format("{}: {:+.1f} %\n", PredictionText(*timed.estimate),
                        100 * (timed.estimate->latency_us / timing.median_us - 1));
  }
  return text;
}

// What a table says of a network, for a target that may not be at hand.
int ShowPrediction(const Globals& globals, const NetFlags& flags) {
  const latency::Lut lut = latency::ReadLut(flags.lut);
  TimedNetwork predicted{.network = LoadNetwork(flags.network), .timing = {}, .layers_us = {}};
  predicted.estimate = latency::Estimator(lut).Network(predicted.network);
  if (globals.json) {
    nlohmann::ordered_json json = {{"network", predicted.network.name}};
    AddPrediction(*predicted.estimate, json);
    PrintJson(json);
    return 0;
  }
  PrintText(net::Describe(predicted.network) + PredictionText(*predicted.estimate) +
            fmt::format(" on {} ({} {})\n", lut.target.device_name, lut.target.engine,
                        engine::Name(lut.target.options.precision)));
  return 0;
}

int Time(const Globals& globals, const NetFlags& flags) {
  const TimedNetwork timed = TimeNetwork(globals, flags);
  globals.json ? PrintJson(JsonOf(timed)) : PrintText(TextOf(timed));
  return 0;
}

}  // namespace

void AddNetCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* net_command =
      app.add_subcommand("net", "One network: costs, latency, training, export, parity");
  net_command->require_subcommand(1);
  auto flags = std::make_shared<NetFlags>();
  const auto add = [&](const std::string& name, const std::string& help, std::function<int()> run) {
    CLI::App* command = net_command->add_subcommand(name, help);
    command->add_option("network", flags->network, kNetworkHelp)->required();
    command->callback([&action, run] { action = run; });
    return command;
  };
  CLI::App* show = add("show", "Layers, parameters and multiply-accumulates", [=, &globals] {
    if (!flags->lut.empty()) return ShowPrediction(globals, *flags);
    const net::Network network = LoadNetwork(flags->network);
    PrintText(globals.json ? net::ToJson(network) : net::Describe(network));
    return 0;
  });
  show->add_option("--lut", flags->lut, "LUT file, to see the latency it predicts");
  CLI::App* time = add("time", "Latency end to end and layer by layer",
                       [=, &globals] { return Time(globals, *flags); });
  time->add_option("--lut", flags->lut, "LUT file, to see the prediction beside it");
  flags->target.AddTo(*time);

  AddNetTrainCommand(*net_command, globals, action);

  AddNetExportCommand(*net_command, globals, action);
  AddNetVerifyCommand(*net_command, globals, action);
  AddNetClassifyCommand(*net_command, globals, action);
}

}  // namespace lathe::cli
