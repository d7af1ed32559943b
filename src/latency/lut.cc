#include "latency/lut.h"

#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"

namespace lathe::latency {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "lathe-lut";
constexpr int kVersion = 2;
constexpr double kTiny = 1e-9;  // stands for "greater than zero" in range checks
constexpr std::string_view kPrecisions[] = {"f32", "bf16", "f16", "int8"};

std::optional<engine::Precision> PrecisionOf(std::string_view name) {
  for (const auto precision : {engine::Precision::kF32, engine::Precision::kBf16,
                               engine::Precision::kF16, engine::Precision::kInt8}) {
    if (engine::Name(precision) == name) return precision;
  }
  return {};
}

engine::Fingerprint ReadTarget(const Config& table) {
  engine::Fingerprint target;
  target.engine = table.String("engine");
  target.engine_version = table.String("engine_version");
  target.device = table.String("device");
  target.device_name = table.String("device_name");
  target.options.device = target.device;
  target.options.threads =
      static_cast<int>(table.Int("threads", {.fallback = {}, .min = 1, .max = 1 << 16}));
  target.options.batch =
      static_cast<int>(table.Int("batch", {.fallback = {}, .min = 1, .max = 1 << 20}));
  target.options.precision = *PrecisionOf(table.Choice("precision", kPrecisions));
  table.Finish();
  return target;
}

Json TargetJson(const engine::Fingerprint& target) {
  return {{"engine", target.engine},
          {"engine_version", target.engine_version},
          {"device", target.device},
          {"device_name", target.device_name},
          {"threads", target.options.threads},
          {"batch", target.options.batch},
          {"precision", engine::Name(target.options.precision)}};
}

ErrorBand ReadBand(const Config& table) {
  ErrorBand band;
  band.mape = table.Real("mape", {.fallback = {}, .min = 0});
  band.p95 = table.Real("p95", {.fallback = {}, .min = 0});
  band.bias = table.Real("bias");
  band.spearman = table.Real("spearman", {.fallback = {}, .min = -1, .max = 1});
  band.networks =
      static_cast<int>(table.Int("networks", {.fallback = {}, .min = 0, .max = 1 << 30}));
  table.Finish();
  return band;
}

Json BandJson(const ErrorBand& band) {
  return {{"mape", band.mape},
          {"p95", band.p95},
          {"bias", band.bias},
          {"spearman", band.spearman},
          {"networks", band.networks}};
}

KeyBand ReadKeyBand(const Config& table) {
  KeyBand band;
  band.median = table.Real("median", {.fallback = {}, .min = 0});
  band.p90 = table.Real("p90", {.fallback = {}, .min = 0});
  band.keys = static_cast<int>(table.Int("keys", {.fallback = {}, .min = 0, .max = 1 << 30}));
  table.Finish();
  return band;
}

// `read(key)`; what is wrong with the key gets its position in the file.
template <typename Read>
auto ReadKey(Read read, const std::string& key, std::string_view where) {
  try {
    return read(key);
  } catch (const Error& error) {
    throw Error(error.kind(), "{}: {}", where, error.what());
  }
}

Reference ReadReference(const Config& table) {
  Reference reference;
  reference.latency_us = table.Real("latency_us", {.fallback = {}, .min = kTiny});
  reference.network.name = "reference";
  for (const std::string& key : table.Strings("layers")) {
    reference.network.layers.push_back(ReadKey(LayerOf, key, table.Where("layers")));
  }
  if (reference.network.layers.empty()) table.Fail("layers", "a reference network needs layers");
  reference.network.input = reference.network.layers.front().in;
  net::Validate(reference.network);
  table.Finish();
  return reference;
}

Json ReferenceJson(const Reference& reference) {
  Json layers = Json::array();
  for (const net::Layer& layer : reference.network.layers) layers.push_back(KeyOf(layer));
  return {{"latency_us", reference.latency_us}, {"layers", layers}};
}

// Latency, spread and samples of a layer or a part; `entry` knows already what it is of.
template <typename Entry>
void ReadLatency(const Config& table, const std::string& key, Entry& entry) {
  entry.latency_us = table.Real("latency_us");
  if (!std::isfinite(entry.latency_us) || entry.latency_us <= 0) {
    table.Fail("latency_us",
               fmt::format("{} us is not a latency (key '{}'); remove the entry and measure it "
                           "again with `lathe lut build`",
                           entry.latency_us, key));
  }
  entry.spread = table.Real("spread", {.fallback = 0.0, .min = 0});
  entry.samples = static_cast<int>(table.Int("samples", {.fallback = 1, .min = 1, .max = 1 << 30}));
  table.Finish();
}

template <typename Entry>
void Insert(const Config& table, const std::string& key, Entry entry,
            std::map<std::string, Entry>& entries) {
  ReadLatency(table, key, entry);
  if (!entries.emplace(key, std::move(entry)).second) {
    table.Fail("key", fmt::format("'{}' is there twice; keep the entry that is right", key));
  }
}

// A LUT that cannot be written as valid JSON would be lost when it is read again.
void CheckFinite(const std::filesystem::path& path, std::string_view what,
                 std::initializer_list<double> values) {
  for (const double value : values) {
    if (!std::isfinite(value)) {
      throw Error(ErrorKind::kInternal, "{}: refusing to write {}: {} is not a number",
                  path.string(), what, value);
    }
  }
}

// One entry per line: short, and fit for diff.
template <typename Entry>
void AppendEntries(std::string_view name, const std::map<std::string, Entry>& entries,
                   const std::filesystem::path& path, std::string& text) {
  text += fmt::format(",\n  \"{}\": [", name);
  const char* separator = "\n    ";
  for (const auto& [key, entry] : entries) {
    CheckFinite(path, "key " + key, {entry.latency_us, entry.spread});
    const Json line = {{"key", key},
                       {"latency_us", entry.latency_us},
                       {"spread", entry.spread},
                       {"samples", entry.samples}};
    text += separator + line.dump();
    separator = ",\n    ";
  }
  text += "\n  ]";
}

// A file cut short by a full disk or a broken copy is told as such: it lacks the closing brace of
// the first column.
ConfigFile LoadDocument(const std::filesystem::path& path) {
  const std::string text = ReadFile(path);
  try {
    return ConfigFile::ParseJson(text, path.string());
  } catch (const Error& error) {
    const std::string_view trimmed =
        std::string_view(text).substr(0, text.find_last_not_of(" \n\r\t") + 1);
    if (trimmed.ends_with("\n}")) throw;
    throw Error(
        error.kind(),
        "{} (the file seems cut short: copy it again, or make a new one with `lathe lut build`)",
        error.what());
  }
}

}  // namespace

std::optional<double> Lut::Find(const net::Layer& layer) const {
  const auto entry = entries.find(KeyOf(layer));
  if (entry == entries.end()) return {};
  return entry->second.latency_us;
}

Lut ReadLut(const std::filesystem::path& path) {
  const ConfigFile file = LoadDocument(path);
  const Config root = file.root();
  if (!root.Has("format") || root.String("format") != kFormat) {
    throw Error(ErrorKind::kInput, "{}: not a LUT: expected \"format\": \"{}\"", path.string(),
                kFormat);
  }
  const int64_t version = root.Int("version", {.fallback = {}, .min = 1});
  if (version > kVersion) {
    root.Fail(
        "version",
        fmt::format("this LUT has format version {}, this program reads up to {}: use a newer "
                    "Lathe, or make a new LUT with `lathe lut build`",
                    version, kVersion));
  }
  Lut lut;
  if (!root.Has("target"))
    root.Fail("", "missing table 'target': a LUT without a target is of no use");
  lut.target = ReadTarget(root.Table("target"));
  lut.overhead_us = root.Real("overhead_us", {.fallback = 0.0, .min = 0});
  lut.noise_floor = root.Real("noise_floor", {.fallback = 0.0, .min = 0});
  if (root.Has("band")) lut.band = ReadBand(root.Table("band"));
  if (root.Has("key_band")) lut.key_band = ReadKeyBand(root.Table("key_band"));
  if (root.Has("reference")) lut.reference = ReadReference(root.Table("reference"));
  if (!root.Has("entries")) root.Fail("", "missing list 'entries'");
  for (const Config& table : root.Tables("entries")) {
    const std::string key = table.String("key");
    const net::Layer layer = ReadKey(LayerOf, key, table.Where("key"));
    Insert(table, key, LutEntry{.layer = layer}, lut.entries);
  }
  if (root.Has("parts")) {
    for (const Config& table : root.Tables("parts")) {
      const std::string key = table.String("key");
      const Part part = ReadKey(PartOf, key, table.Where("key"));
      Insert(table, key, PartEntry{.part = part}, lut.parts);
    }
  }
  root.Finish();
  return lut;
}

void WriteLut(const std::filesystem::path& path, const Lut& lut) {
  CheckFinite(path, "overhead_us or noise_floor", {lut.overhead_us, lut.noise_floor});
  Json head = {{"format", kFormat}, {"version", kVersion}, {"target", TargetJson(lut.target)}};
  head["overhead_us"] = lut.overhead_us;
  head["noise_floor"] = lut.noise_floor;
  if (lut.band) {
    CheckFinite(path, "band", {lut.band->mape, lut.band->p95, lut.band->bias, lut.band->spearman});
    head["band"] = BandJson(*lut.band);
  }
  if (lut.key_band) {
    const auto& [median, p90, keys] = *lut.key_band;
    CheckFinite(path, "key_band", {median, p90});
    head["key_band"] = {{"median", median}, {"p90", p90}, {"keys", keys}};
  }
  if (lut.reference) {
    CheckFinite(path, "reference", {lut.reference->latency_us});
    head["reference"] = ReferenceJson(*lut.reference);
  }
  std::string text = head.dump(2);
  text.resize(text.rfind('\n'));
  AppendEntries("entries", lut.entries, path, text);
  if (!lut.parts.empty()) AppendEntries("parts", lut.parts, path, text);
  text += "\n}\n";
  WriteFileAtomically(path, text);
}

void CheckTarget(const Lut& lut, const engine::Fingerprint& target,
                 const std::filesystem::path& path) {
  CheckTarget(lut.target.Fields(), target, path);
}

void CheckTarget(const std::map<std::string, std::string>& made_for,
                 const engine::Fingerprint& target, const std::filesystem::path& path) {
  std::string differences;
  for (const auto& [field, wanted] : target.Fields()) {
    const auto found = made_for.find(field);
    const std::string has = found == made_for.end() ? "" : found->second;
    if (has == wanted) continue;
    differences += fmt::format("{}{} is '{}', here it is '{}'", differences.empty() ? "" : "; ",
                               field, has, wanted);
  }
  if (differences.empty()) return;
  throw Error(ErrorKind::kInput,
              "{}: this LUT was made for another target: {}. Latencies of different targets are "
              "never mixed; make one "
              "for this target with `lathe lut build`",
              path.string(), differences);
}

}  // namespace lathe::latency
