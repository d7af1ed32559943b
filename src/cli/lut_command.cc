// lathe lut build | show | check: make, read and validate latency look-up tables. Import is in
// lut_import.cc.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/random.h"
#include "base/table.h"
#include "cli/common.h"
#include "cli/lut_band.h"
#include "cli/lut_import.h"
#include "cli/lut_picture.h"
#include "latency/builder.h"
#include "latency/estimator.h"
#include "latency/lut.h"
#include "net/zoo.h"
#include "space/search_space.h"

namespace lathe::cli {
namespace {

struct LutFlags {
  std::string file, space, picture;
  TargetFlags target;
  double minutes = 1;
  int channels = 3, classes = 1000, networks = 20;
  bool zoo = false, no_zoo = false, parts = false;
  std::vector<std::string> names, restrict;
  std::vector<double> between;  // ms
};

net::Network Draw(const space::SearchSpace& space, const LutFlags& flags, uint64_t seed,
                  uint64_t number) {
  Random random(SubSeed(seed, "draw", number));
  return space.Decode(space.Sample(random), {.channels = flags.channels, .classes = flags.classes});
}

// The zoo's networks at their native resolutions, or at the largest one of a space of much smaller
// images.
std::vector<net::Network> ZooFor(const space::SearchSpace& space, const LutFlags& flags) {
  constexpr double kMuchSmaller = 0.5;
  const int largest = space.resolution().values.back();
  std::vector<net::Network> networks;
  for (const net::ZooEntry& entry : net::Zoo()) {
    const bool native = largest >= kMuchSmaller * entry.resolution;
    try {
      networks.push_back(net::ZooNetwork(entry.name, {.resolution = native ? 0 : largest,
                                                      .channels = flags.channels,
                                                      .classes = flags.classes}));
    } catch (const Error& error) {
      spdlog::info("{} is left out: {}", entry.name, error.what());
    }
  }
  return networks;
}

std::string KeyBandText(const latency::KeyBand& band) {
  return fmt::format("{} layers estimated from the others: median error {:.1f} %, p90 {:.1f} %",
                     band.keys, 100 * band.median, 100 * band.p90);
}

int Build(const Globals& globals, const LutFlags& flags) {
  const space::SearchSpace space = LoadSpace(flags.space, flags.restrict);
  const std::unique_ptr<engine::Engine> engine = flags.target.Make();
  std::vector<net::Network> also;
  for (const std::string& name : flags.names) also.push_back(LoadNetwork(name));
  if (!flags.no_zoo) std::ranges::move(ZooFor(space, flags), std::back_inserter(also));
  std::optional<latency::Interval> between;
  if (!flags.between.empty()) between = {1000 * flags.between[0], 1000 * flags.between[1]};
  Progress progress({.stage = "measuring layers", .total = 100, .quiet = globals.quiet});
  const latency::Lut lut = latency::BuildLut(
      *engine, [&](uint64_t number) { return Draw(space, flags, globals.seed, number); },
      {.seconds = 60 * flags.minutes,
       .seed = globals.seed,
       .also = also,
       .between_us = between,
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
    nlohmann::ordered_json json = {{"file", flags.file},
                                   {"keys", lut.entries.size()},
                                   {"parts", lut.parts.size()},
                                   {"noise_floor", lut.noise_floor}};
    if (lut.band) json["band"] = JsonOf(*lut.band);
    if (lut.key_band) {
      json["key_band"] = {{"median", lut.key_band->median},
                          {"p90", lut.key_band->p90},
                          {"keys", lut.key_band->keys}};
    }
    PrintJson(json);
  } else {
    PrintText(fmt::format(
        "{}: {} layer keys, {} parts of layers; the machine's speed spread by {}\n", flags.file,
        lut.entries.size(), lut.parts.size(), FormatPercent(lut.noise_floor)));
    if (lut.key_band) PrintText("held back: " + KeyBandText(*lut.key_band) + "\n");
    if (lut.band) PrintText("held back: " + BandText(*lut.band) + "\n");
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
  if (lut.key_band) text += KeyBandText(*lut.key_band) + "\n";
  text += fmt::format(
      "{} layer keys, {} parts of layers; {:.2f} us per inference beside them; "
      "the machine's speed spread by {}\n",
      lut.entries.size(), lut.parts.size(), lut.overhead_us, FormatPercent(lut.noise_floor));
  std::vector<std::vector<std::string>> rows = {{"key", "us", "spread", "samples"}};
  const auto add = [&rows](const auto& entries) {
    for (const auto& [key, entry] : entries) {
      rows.push_back({key, fmt::format("{:.2f}", entry.latency_us), FormatPercent(entry.spread),
                      std::to_string(entry.samples)});
    }
  };
  flags.parts ? add(lut.parts) : add(lut.entries);
  PrintText(text + FormatTable(rows));
  return 0;
}

std::vector<net::Network> NetworksToCheck(const Globals& globals, const LutFlags& flags) {
  std::vector<net::Network> networks;
  for (const std::string& name : flags.names) networks.push_back(LoadNetwork(name));
  if (flags.zoo) std::ranges::move(ZooAtNativeResolution(), std::back_inserter(networks));
  if (!flags.space.empty()) {
    const space::SearchSpace space = LoadSpace(flags.space, flags.restrict);
    const uint64_t seed = SubSeed(globals.seed, "check");
    for (int i = 0; i < flags.networks; ++i) {
      networks.push_back(Draw(space, flags, seed, static_cast<uint64_t>(i)));
      networks.back().name += fmt::format("-{}", i);
    }
  }
  if (networks.empty())
    throw Error(ErrorKind::kUsage, "nothing to check: give --space, --zoo, networks, or several");
  return networks;
}

// The most that the reference network's timings of one check differ by on a quiet machine.
constexpr double kUnsteady = 1.25;

void PrintCheck(const latency::CheckResult& result) {
  std::vector<std::vector<std::string>> rows = {
      {"network", "predicted ms", "+-", "measured ms", "error", "estimated layers"}};
  const latency::CheckRow* worst = &result.rows.front();
  const auto error = [](const latency::CheckRow& row) {
    return row.predicted_us / row.measured_us - 1;
  };
  for (const latency::CheckRow& row : result.rows) {
    rows.push_back({row.name, fmt::format("{:.4f}", row.predicted_us / 1000),
                    fmt::format("{:.4f}", row.sigma_us / 1000),
                    fmt::format("{:.4f}", row.measured_us / 1000),
                    fmt::format("{:+.1f} %", 100 * error(row)),
                    fmt::format("{} of {}", row.estimated_layers, row.layers)});
    if (std::abs(error(row)) > std::abs(error(*worst))) worst = &row;
  }
  PrintText(FormatTable(rows) + BandText(result.band) + "\n" +
            fmt::format("worst: {} with {:+.1f} %\n", worst->name, 100 * error(*worst)) +
            fmt::format("the reference network takes {:.2f} times as long as when the table was "
                        "made ({:.2f} to {:.2f} during this check)\n",
                        result.slowdown, result.least_slowdown, result.most_slowdown));
  if (result.most_slowdown > kUnsteady * result.least_slowdown)
    PrintText("the machine's speed changed meanwhile: check again when nothing else runs on it\n");
}

int Check(const Globals& globals, const LutFlags& flags) {
  const latency::Lut lut = latency::ReadLut(flags.file);
  const std::vector<net::Network> networks = NetworksToCheck(globals, flags);
  const std::unique_ptr<engine::Engine> engine = flags.target.Make();
  latency::CheckTarget(lut, engine->Target(), flags.file);
  Progress progress({.stage = "measuring networks",
                     .total = static_cast<int64_t>(networks.size()),
                     .quiet = globals.quiet});
  const latency::CheckResult result =
      latency::CheckLut(*engine, lut, networks, {.on_progress = [&](int done, int /*of*/) {
        if (StopRequested()) throw Error(ErrorKind::kInterrupted, "stopped");
        progress.Update(done, networks[static_cast<size_t>(done - 1)].name);
      }});
  if (!flags.picture.empty()) {
    WriteFileAtomically(flags.picture, LutPicture(result, flags.file + ": predicted and measured"));
  }
  if (!globals.json) {
    PrintCheck(result);
    return 0;
  }
  nlohmann::ordered_json json = {{"band", JsonOf(result.band)},
                                 {"slowdown", result.slowdown},
                                 {"least_slowdown", result.least_slowdown},
                                 {"most_slowdown", result.most_slowdown},
                                 {"networks", nlohmann::ordered_json::array()}};
  for (const latency::CheckRow& row : result.rows) {
    json["networks"].push_back({{"name", row.name},
                                {"predicted_us", row.predicted_us},
                                {"sigma_us", row.sigma_us},
                                {"measured_us", row.measured_us},
                                {"estimated_layers", row.estimated_layers},
                                {"layers", row.layers}});
  }
  PrintJson(json);
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
    AddHeadOptions(*command, flags->channels, flags->classes);
  };
  CLI::App* build = lut->add_subcommand(
      "build", "Measure the layers of a space on this device (continues an unfinished table)");
  build->add_option("--out,-o", flags->file, "LUT file")->required();
  build->add_option("--minutes", flags->minutes, "Time budget")
      ->capture_default_str()
      ->check(CLI::Range(0.05, 1e5));
  build->add_option("networks", flags->names, "Network files or zoo names to measure as well");
  build->add_flag("--no-zoo", flags->no_zoo, "Leave out the networks of the zoo");
  build
      ->add_option("--between", flags->between,
                   "Latencies in ms of the networks that matter most: the second half of the time "
                   "goes to what is uncertain of them")
      ->expected(2);
  add_space(build, true);
  flags->target.AddTo(*build);
  build->callback([&globals, &action, flags] {
    action = [&globals, flags] { return Build(globals, *flags); };
  });

  CLI::App* show = lut->add_subcommand("show", "Print a table");
  show->add_option("file", flags->file, "LUT file")->required();
  show->add_flag("--parts", flags->parts, "The parts of layers instead of the layers");
  show->callback(
      [&globals, &action, flags] { action = [&globals, flags] { return Show(globals, *flags); }; });

  CLI::App* check = lut->add_subcommand("check", "Predicted against measured end to end");
  check->add_option("file", flags->file, "LUT file")->required();
  check->add_option("networks", flags->names, "Network files or zoo names");
  check->add_option("--count", flags->networks, "Random networks of --space")
      ->capture_default_str();
  check->add_flag("--zoo", flags->zoo, "All networks of the zoo, at their native resolution");
  check->add_option("--picture", flags->picture, "Also draw it, as an SVG file");
  add_space(check, false);
  flags->target.AddTo(*check);
  check->callback([&globals, &action, flags] {
    action = [&globals, flags] { return Check(globals, *flags); };
  });

  AddLutImport(*lut, globals, action);
}

}  // namespace lathe::cli
