// lathe lut build | show | check: make, read and validate latency look-up tables. Import is in
// lut_import.cc.
#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/random.h"
#include "cli/common.h"
#include "cli/lut_import.h"
#include "latency/builder.h"
#include "latency/estimator.h"
#include "latency/lut.h"
#include "space/search_space.h"

namespace lathe::cli {
namespace {

struct LutFlags {
  std::string file, space;
  TargetFlags target;
  double minutes = 1;
  int channels = 3, classes = 1000, networks = 20;
  std::vector<std::string> names, restrict;
};

std::string BandText(const latency::ErrorBand& band) {
  return fmt::format(
      "{} networks: mean error {:.1f} %, p95 {:.1f} %, bias {:+.1f} %, Spearman {:.4f}",
      band.networks, 100 * band.mape, 100 * band.p95, 100 * band.bias, band.spearman);
}

nlohmann::ordered_json JsonOf(const latency::ErrorBand& band) {
  return {{"networks", band.networks},
          {"mape", band.mape},
          {"p95", band.p95},
          {"bias", band.bias},
          {"spearman", band.spearman}};
}

net::Network Draw(const space::SearchSpace& space, const LutFlags& flags, uint64_t seed,
                  uint64_t number) {
  Random random(SubSeed(seed, "draw", number));
  return space.Decode(space.Sample(random), {.channels = flags.channels, .classes = flags.classes});
}

int Build(const Globals& globals, const LutFlags& flags) {
  const space::SearchSpace space = LoadSpace(flags.space, flags.restrict);
  const std::unique_ptr<engine::Engine> engine = flags.target.Make();
  Progress progress({.stage = "measuring layers", .total = 100, .quiet = globals.quiet});
  const latency::Lut lut = latency::BuildLut(
      *engine, [&](uint64_t number) { return Draw(space, flags, globals.seed, number); },
      {.seconds = 60 * flags.minutes,
       .seed = globals.seed,
       .file = flags.file,
       .on_progress = [&](const latency::BuildProgress& build) {
         if (StopRequested())
           throw Error(ErrorKind::kInterrupted, "stopped; run again to continue {}", flags.file);
         progress.Update(
             static_cast<int64_t>(std::min(100.0, 100 * build.seconds / build.seconds_budget)),
             fmt::format("{} keys in {} networks", build.keys_measured, build.networks_done),
             std::max(0.0, build.seconds_budget - build.seconds));
       }});
  if (globals.json) {
    nlohmann::ordered_json json = {{"file", flags.file}, {"keys", lut.entries.size()}};
    if (lut.band) json["band"] = JsonOf(*lut.band);
    PrintJson(json);
  } else {
    PrintText(fmt::format("{}: {} keys{}\n", flags.file, lut.entries.size(),
                          lut.band ? "; " + BandText(*lut.band) : ""));
  }
  return 0;
}

int Show(const Globals& globals, const LutFlags& flags) {
  const latency::Lut lut = latency::ReadLut(flags.file);
  if (globals.json) {
    PrintText(ReadFile(flags.file));
    return 0;
  }
  std::string text;
  for (const auto& [name, value] : lut.target.Fields())
    text += fmt::format("{}: {}\n", name, value);
  if (lut.band) text += BandText(*lut.band) + "\n";
  std::vector<std::vector<std::string>> rows = {{"key", "us", "spread", "samples"}};
  for (const auto& [key, entry] : lut.entries) {
    rows.push_back({key, fmt::format("{:.2f}", entry.latency_us), FormatPercent(entry.spread),
                    std::to_string(entry.samples)});
  }
  PrintText(text + FormatTable(rows));
  return 0;
}

int Check(const Globals& globals, const LutFlags& flags) {
  const latency::Lut lut = latency::ReadLut(flags.file);
  const std::unique_ptr<engine::Engine> engine = flags.target.Make();
  latency::CheckTarget(lut, engine->Target(), flags.file);
  std::vector<net::Network> networks;
  for (const std::string& name : flags.names) networks.push_back(LoadNetwork(name));
  if (!flags.space.empty()) {
    const space::SearchSpace space = LoadSpace(flags.space, flags.restrict);
    const uint64_t seed = SubSeed(globals.seed, "check");
    for (int i = 0; i < flags.networks; ++i)
      networks.push_back(Draw(space, flags, seed, static_cast<uint64_t>(i)));
  }
  if (networks.empty())
    throw Error(ErrorKind::kUsage, "nothing to check: give --space, networks, or both");
  const latency::CheckResult result = latency::CheckLut(*engine, lut, networks);
  if (globals.json) {
    nlohmann::ordered_json json = {{"band", JsonOf(result.band)},
                                   {"slowdown", result.slowdown},
                                   {"networks", nlohmann::ordered_json::array()}};
    for (const latency::CheckRow& row : result.rows) {
      json["networks"].push_back({{"name", row.name},
                                  {"predicted_us", row.predicted_us},
                                  {"measured_us", row.measured_us}});
    }
    PrintJson(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {
      {"network", "predicted ms", "measured ms", "error"}};
  for (const latency::CheckRow& row : result.rows) {
    rows.push_back({row.name, fmt::format("{:.4f}", row.predicted_us / 1000),
                    fmt::format("{:.4f}", row.measured_us / 1000),
                    fmt::format("{:+.1f} %", 100 * (row.predicted_us / row.measured_us - 1))});
  }
  PrintText(FormatTable(rows) + BandText(result.band) + "\n" +
            fmt::format("measured latencies are given at the table's speed; the machine now needs "
                        "{:.2f} times as long\n",
                        result.slowdown));
  return 0;
}

}  // namespace

void AddLutCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* lut = app.add_subcommand("lut", "Latency look-up tables: build, show, check, import");
  lut->require_subcommand(1);
  auto flags = std::make_shared<LutFlags>();
  const auto add_space = [flags](CLI::App* command, bool required) {
    CLI::Option* space = command->add_option("--space", flags->space, "Space file (TOML)");
    if (required) space->required();
    command->add_option("--restrict", flags->restrict, kRestrictHelp);
    command->add_option("--channels", flags->channels, "Channels of the image")
        ->capture_default_str();
    command->add_option("--classes", flags->classes, "Number of classes")->capture_default_str();
  };
  CLI::App* build = lut->add_subcommand(
      "build", "Measure the layers of a space on this device (continues an unfinished table)");
  build->add_option("--out,-o", flags->file, "LUT file")->required();
  build->add_option("--minutes", flags->minutes, "Time budget")
      ->capture_default_str()
      ->check(CLI::Range(0.05, 1e5));
  add_space(build, true);
  flags->target.AddTo(*build);
  build->callback([&globals, &action, flags] {
    action = [&globals, flags] { return Build(globals, *flags); };
  });

  CLI::App* show = lut->add_subcommand("show", "Print a table");
  show->add_option("file", flags->file, "LUT file")->required();
  show->callback(
      [&globals, &action, flags] { action = [&globals, flags] { return Show(globals, *flags); }; });

  CLI::App* check = lut->add_subcommand("check", "Predicted against measured end to end");
  check->add_option("file", flags->file, "LUT file")->required();
  check->add_option("networks", flags->names, "Network files or zoo names");
  check->add_option("--count", flags->networks, "Random networks of --space")
      ->capture_default_str();
  add_space(check, false);
  flags->target.AddTo(*check);
  check->callback([&globals, &action, flags] {
    action = [&globals, flags] { return Check(globals, *flags); };
  });

  AddLutImport(*lut, globals, action);
}

}  // namespace lathe::cli
