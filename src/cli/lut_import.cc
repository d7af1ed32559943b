#include "cli/lut_import.h"

#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/lut_band.h"
#include "latency/import.h"
#include "latency/import_ofa.h"

namespace lathe::cli {
namespace {

using cli::JsonOf;

constexpr const char* kConv = "tensorrt-conv";
constexpr const char* kOfa = "ofa";
constexpr double kHeldOut = 0.1;

struct ImportFlags {
  std::vector<std::string> files, restrict;
  std::string format, out, space, calibrate;
  // Empty: what the format's tables usually are of.
  std::string engine, device, precision;
  std::string engine_version = "unknown", device_name = "unknown";
  int threads = 1, batch = 1, channels = 3, classes = 1000;

  engine::Fingerprint Target() const {
    const bool conv = format == kConv;
    const auto or_usual = [](const std::string& given, const char* usual) {
      return given.empty() ? std::string(usual) : given;
    };
    engine::Fingerprint target;
    target.engine = or_usual(engine, conv ? "tensorrt" : "unknown");
    target.engine_version = engine_version;
    target.device = or_usual(device, conv ? "GPU" : "CPU");
    target.device_name = device_name;
    target.options = {
        .threads = threads,
        .batch = batch,
        .precision = engine::ParsePrecision(or_usual(precision, conv ? "f16" : "f32")),
        .device = target.device};
    return target;
  }
};

std::string Ms(double latency_us) { return fmt::format("{:.3f}", latency_us / 1000); }

nlohmann::ordered_json JsonOf(const latency::CalibrationReport& report,
                              const std::vector<latency::KnownNetwork>& known) {
  nlohmann::ordered_json json = {{"scale", report.calibration.scale},
                                 {"launch_us", report.calibration.launch_us},
                                 {"constant_us", report.calibration.constant_us},
                                 {"networks", nlohmann::ordered_json::array()},
                                 {"alone", JsonOf(report.alone)},
                                 {"before", JsonOf(report.before)},
                                 {"after", JsonOf(report.after)},
                                 {"left_out", JsonOf(report.left_out)},
                                 {"wrong_pairs", report.wrong_pairs}};
  for (size_t i = 0; i < known.size(); ++i) {
    const latency::CalibrationRow& row = report.rows[i];
    json["networks"].push_back({{"name", known[i].name},
                                {"known_us", row.known_us},
                                {"alone_us", row.alone_us},
                                {"before_us", row.before_us},
                                {"after_us", row.after_us},
                                {"left_out_us", row.left_out_us}});
  }
  return json;
}

std::string TextOf(const latency::CalibrationReport& report,
                   const std::vector<latency::KnownNetwork>& known) {
  std::vector<std::vector<std::string>> rows = {
      {"network", "known ms", "alone", "before", "after", "left out", "error"}};
  for (size_t i = 0; i < known.size(); ++i) {
    const latency::CalibrationRow& row = report.rows[i];
    rows.push_back({known[i].name, Ms(row.known_us), Ms(row.alone_us), Ms(row.before_us),
                    Ms(row.after_us), Ms(row.left_out_us),
                    fmt::format("{:+.1f} %", 100 * (row.left_out_us / row.known_us - 1))});
  }
  const auto summary = [&](const char* name, const char* format,
                           double (*value)(const latency::ErrorBand&)) {
    std::vector<std::string> cells = {name, ""};
    for (const auto* band : {&report.alone, &report.before, &report.after, &report.left_out})
      cells.push_back(fmt::format(fmt::runtime(format), value(*band)));
    cells.emplace_back();
    rows.push_back(cells);
  };
  summary("mean |error|", "{:.1f} %", [](const latency::ErrorBand& b) { return 100 * b.mape; });
  summary("bias", "{:+.1f} %", [](const latency::ErrorBand& b) { return 100 * b.bias; });
  summary("Spearman", "{:.3f}", [](const latency::ErrorBand& b) { return b.spearman; });
  return FormatTable(rows) +
         fmt::format(
             "left out: fitted to the others. alone: sum of parts as timed. fitted to all: "
             "scale {:.3f}, {:.1f} us less per part, {:.0f} us per inference\n"
             "ranking by left out: {}\n",
             report.calibration.scale, report.calibration.launch_us, report.calibration.constant_us,
             report.wrong_pairs == 0
                 ? std::string("right, up to equal latencies")
                 : fmt::format("{} pairs in the wrong order", report.wrong_pairs));
}

latency::CalibrationReport Calibrated(latency::PartsAlone& alone,
                                      const std::vector<latency::KnownNetwork>& known,
                                      const std::string& file) {
  if (known.size() < 2) {
    throw Error(ErrorKind::kInput,
                "{}: calibration needs two networks at least, to judge each by the others", file);
  }
  std::vector<latency::CalibrationPoint> points;
  for (const latency::KnownNetwork& network : known) {
    latency::CalibrationPoint& point = points.emplace_back();
    point.latency_us = network.latency_us;
    for (const net::Layer& layer : network.network.layers) {
      const std::vector<double> parts = alone.Predict(layer);
      point.alone_us.insert(point.alone_us.end(), parts.begin(), parts.end());
    }
  }
  return latency::CheckCalibration(points);
}

int ImportConvolutions(const Globals& globals, const ImportFlags& flags) {
  if (flags.files.size() != 1) throw Error(ErrorKind::kUsage, "--format {} takes one file", kConv);
  const latency::ConvTimings timings = latency::ReadConvTimings(flags.files.front(), flags.batch);
  const latency::InterpolationError error =
      latency::ConvTable::HoldOut(timings.timings, kHeldOut, globals.seed);
  latency::PartsAlone alone{latency::ConvTable(timings.timings)};

  std::vector<latency::KnownNetwork> known;
  std::optional<latency::CalibrationReport> report;
  if (!flags.calibrate.empty()) {
    known = latency::ReadKnownNetworks(flags.calibrate, &LoadNetwork);
    report = Calibrated(alone, known, flags.calibrate);
  }
  std::vector<net::Network> networks = ZooAtNativeResolution();
  for (const latency::KnownNetwork& network : known) networks.push_back(network.network);
  std::vector<net::Layer> layers;
  if (!flags.space.empty()) {
    layers = latency::LayersOf(LoadSpace(flags.space, flags.restrict),
                               {.channels = flags.channels, .classes = flags.classes});
  }
  latency::ComposeOptions options{
      .target = flags.Target(), .part_error = error.median, .seed = globals.seed};
  if (report) options.calibration = report->calibration;
  latency::Lut lut = latency::ComposeLut(alone, networks, layers, options);
  if (report) lut.band = report->left_out;
  latency::WriteLut(flags.out, lut);

  if (globals.json) {
    nlohmann::ordered_json json = {{"file", flags.out},
                                   {"entries", lut.entries.size()},
                                   {"parts", lut.parts.size()},
                                   {"timings", timings.timings.size()},
                                   {"failed", timings.failed},
                                   {"interpolation",
                                    {{"held_out", error.count},
                                     {"median", error.median},
                                     {"p95", error.p95},
                                     {"bias", error.bias}}}};
    if (report) json["calibration"] = JsonOf(*report, known);
    PrintJson(json);
    return 0;
  }
  PrintText(fmt::format(
      "{}: {} convolutions of batch {}; {} more had failed and are left out\n"
      "interpolation, {} of them held out: median error {:.1f} %, p95 {:.1f} %, bias {:+.1f} %\n{}"
      "{}: {} layers, {} parts\n",
      flags.files.front(), FormatCount(static_cast<int64_t>(timings.timings.size())), flags.batch,
      timings.failed, error.count, 100 * error.median, 100 * error.p95, 100 * error.bias,
      report ? TextOf(*report, known) : "", flags.out,
      FormatCount(static_cast<int64_t>(lut.entries.size())),
      FormatCount(static_cast<int64_t>(lut.parts.size()))));
  return 0;
}

int ImportOfa(const Globals& globals, const ImportFlags& flags) {
  if (!flags.calibrate.empty() || !flags.space.empty()) {
    throw Error(ErrorKind::kUsage,
                "--calibrate and --space are for --format {}: tables of {} have whole layers",
                kConv, kOfa);
  }
  const std::vector<std::filesystem::path> paths(flags.files.begin(), flags.files.end());
  const latency::OfaTable table = latency::ReadOfaTable(paths);
  latency::Lut lut;
  lut.target = flags.Target();
  lut.entries = table.entries;
  latency::WriteLut(flags.out, lut);
  for (const auto& [reason, keys] : table.left_out)
    spdlog::warn("{} keys left out, {}: {}", keys.size(), reason, fmt::join(keys, ", "));
  if (globals.json) {
    nlohmann::ordered_json json = {{"file", flags.out},
                                   {"entries", lut.entries.size()},
                                   {"keys", table.keys},
                                   {"left_out", nlohmann::ordered_json::array()}};
    for (const auto& [reason, keys] : table.left_out)
      json["left_out"].push_back({{"reason", reason}, {"keys", keys}});
    PrintJson(json);
    return 0;
  }
  PrintText(fmt::format("{}: {} layers of {} keys\n", flags.out, lut.entries.size(), table.keys));
  return 0;
}

}  // namespace

void AddLutImport(CLI::App& lut, const Globals& globals, Action& action) {
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* command = lut.add_subcommand(
      "import", "Make a table from latencies that others measured, for a device not at hand");
  command->add_option("files", flags->files, "Files of the format")->required();
  command->add_option("--format", flags->format, "tensorrt-conv or ofa")
      ->required()
      ->check(CLI::IsMember({kConv, kOfa}));
  command->add_option("--out,-o", flags->out, "LUT file")->required();
  command->add_option("--calibrate", flags->calibrate,
                      "CSV with known latencies of networks: network,latency_ms");
  command->add_option("--space", flags->space, "Space file (TOML) whose layers are wanted");
  command->add_option("--restrict", flags->restrict, kRestrictHelp);
  AddHeadOptions(*command, flags->channels, flags->classes);
  command->add_option("--engine", flags->engine, "Engine that was timed");
  command->add_option("--engine-version", flags->engine_version, "Its version")
      ->capture_default_str();
  command->add_option("--device", flags->device, "Device, as the engine calls it");
  command->add_option("--device-name", flags->device_name, "The device's product name")
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "Threads that were used")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 16));
  command->add_option("--batch", flags->batch, "Images per inference")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--precision", flags->precision, "f32, bf16, f16 or int8");
  command->callback([&globals, &action, flags] {
    action = [&globals, flags] {
      return flags->format == kConv ? ImportConvolutions(globals, *flags)
                                    : ImportOfa(globals, *flags);
    };
  });
}

}  // namespace lathe::cli
