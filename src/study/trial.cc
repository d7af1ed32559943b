#include "study/trial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr char kSpecFormat[] = "lathe-trial";
constexpr char kResultFormat[] = "lathe-result";
constexpr char kCrashFile[] = "crash.txt";

[[noreturn]] void FailFile(const fs::path& path, std::string_view what) {
  throw Error(ErrorKind::kInput, "{}: {}", path.string(), what);
}

// One of our own files. The trial is restarted or given up over a bad one, so any mistake is an
// Error, never a crash.
Json ReadJson(const fs::path& path, const std::string& format) {
  constexpr uintmax_t kLargest = 16 << 20;
  std::error_code missing;
  if (const uintmax_t size = fs::file_size(path, missing); !missing && size > kLargest) {
    FailFile(path, fmt::format("damaged: {} bytes are more than such a file ever has", size));
  }
  Json json = Json::parse(ReadFile(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) FailFile(path, "damaged: not a JSON object");
  if (json.value("format", Json()) != format)
    FailFile(path, fmt::format("no file of format \"{}\"", format));
  const Json version = json.value("version", Json());
  if (!version.is_number_integer()) FailFile(path, "damaged: no version");
  if (version.get<int64_t>() > kVersion) {
    FailFile(path, fmt::format("version {} is newer than this program's {}; update Lathe",
                               version.dump(), kVersion));
  }
  return json;
}

template <typename T>
T Field(const fs::path& path, const Json& json, const char* key) {
  try {
    return json.at(key).get<T>();
  } catch (const Json::exception& error) {
    FailFile(path, fmt::format("damaged: {}: {}", key, error.what()));
  }
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// JSON has no NaN and no infinities; they are null and read as NaN.
Json ToJson(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = std::isfinite(value) ? Json(value) : Json();
  return json;
}

std::optional<std::map<std::string, double>> NumbersOf(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  std::map<std::string, double> values;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_number() && !value.is_null()) return std::nullopt;
    values[name] = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
  }
  return values;
}

std::optional<MetricLine> ParseMetrics(const std::string& line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  std::optional<std::map<std::string, double>> values = NumbersOf(json);
  if (!values || !json.contains("step") || !json["step"].is_number_integer()) return std::nullopt;
  values->erase("step");
  return MetricLine{.step = json["step"].get<int>(), .values = std::move(*values)};
}

}  // namespace

std::string_view Name(TrialState state) {
  switch (state) {
    case TrialState::kWaiting:
      return "WAITING";
    case TrialState::kRunning:
      return "RUNNING";
    case TrialState::kComplete:
      return "COMPLETE";
    case TrialState::kPruned:
      return "PRUNED";
    case TrialState::kFail:
      return "FAIL";
  }
  throw Error(ErrorKind::kInternal, "unknown trial state {}", static_cast<int>(state));
}

bool IsFinished(TrialState state) {
  return state != TrialState::kWaiting && state != TrialState::kRunning;
}

void WriteSpec(const fs::path& folder, const TrialSpec& spec) {
  const Json json = {
      {"format", kSpecFormat},       {"version", kVersion},     {"number", spec.number},
      {"study", spec.study},         {"kind", spec.kind},       {"seed", spec.seed},
      {"processes", spec.processes}, {"threads", spec.threads}, {"config", spec.config_toml}};
  WriteFileQuickly(folder / "trial.json", Dump(json, 2) + "\n");  // again before every start
}

TrialSpec ReadSpec(const fs::path& folder) {
  const fs::path path = folder / "trial.json";
  const Json json = ReadJson(path, kSpecFormat);
  TrialSpec spec{.number = Field<int64_t>(path, json, "number"),
                 .study = Field<std::string>(path, json, "study"),
                 .kind = Field<std::string>(path, json, "kind"),
                 .seed = Field<uint64_t>(path, json, "seed"),
                 .processes = json.contains("processes") ? Field<int>(path, json, "processes") : 1,
                 .threads = Field<int>(path, json, "threads"),
                 .config_toml = Field<std::string>(path, json, "config")};
  if (spec.threads < 1) FailFile(path, fmt::format("threads: {} is less than one", spec.threads));
  if (spec.processes < 1)
    FailFile(path, fmt::format("processes: {} is less than one", spec.processes));
  return spec;
}

void WriteResult(const fs::path& folder, const TrialResult& result) {
  const Json json = {{"format", kResultFormat}, {"version", kVersion},
                     {"number", result.number}, {"ok", result.ok},
                     {"error", result.error},   {"metrics", ToJson(result.metrics)}};
  WriteFileAtomically(folder / "result.json", Dump(json, 2) + "\n");
}

bool HasResult(const fs::path& folder) {
  std::error_code unreadable;
  return fs::exists(folder / "result.json", unreadable);
}

std::optional<TrialResult> ReadResult(const fs::path& folder, int64_t number) {
  const fs::path path = folder / "result.json";
  if (!fs::exists(path)) return std::nullopt;
  const Json json = ReadJson(path, kResultFormat);
  TrialResult result{.number = Field<int64_t>(path, json, "number"),
                     .ok = Field<bool>(path, json, "ok"),
                     .error = Field<std::string>(path, json, "error"),
                     .metrics = {}};
  if (result.number != number) {
    FailFile(path,
             fmt::format("is the result of trial {}, not of trial {}", result.number, number));
  }
  std::optional<std::map<std::string, double>> metrics = NumbersOf(json.value("metrics", Json()));
  if (!metrics) FailFile(path, "damaged: metrics: not an object of numbers");
  result.metrics = std::move(*metrics);
  return result;
}

void AppendMetrics(const fs::path& folder, const MetricLine& line) {
  const fs::path path = folder / "metrics.jsonl";
  Json json = {{"step", line.step}};
  json.update(ToJson(line.values));
  // A line torn by a killed predecessor must not take this one with it.
  std::error_code missing;
  const bool torn = fs::exists(path, missing) && !ReadFile(path).ends_with('\n') &&
                    fs::file_size(path, missing) > 0;
  AppendLine(path, (torn ? "\n" : "") + Dump(json, -1));
}

std::vector<MetricLine> ReadMetrics(const fs::path& folder) {
  const fs::path path = folder / "metrics.jsonl";
  std::error_code missing;
  if (!fs::exists(path, missing)) return {};
  std::vector<MetricLine> lines;
  std::istringstream text(ReadFile(path));
  for (std::string line;
       std::getline(text, line) && !text.eof();) {  // eof: the last line has no end
    if (std::optional<MetricLine> parsed = ParseMetrics(line)) lines.push_back(std::move(*parsed));
  }
  return lines;
}

void WriteCrash(const fs::path& folder, std::string_view reason) {
  // What a program printed need not be text, but it ends in databases and JSON.
  auto line = Json::parse(Dump(std::string(reason), -1)).get<std::string>();
  std::ranges::replace(line, '\n', ' ');
  WriteFileAtomically(folder / kCrashFile, line + "\n");
}

void RemoveCrash(const fs::path& folder) {
  std::error_code none;
  fs::remove(folder / kCrashFile, none);
}

std::string CrashReason(const fs::path& trial_folder, const JobEnd& end) {
  std::error_code missing;
  const fs::path file = trial_folder / kCrashFile;
  if (!fs::exists(file, missing)) return end.reason.empty() ? "ended without a result" : end.reason;
  std::string reason = ReadFile(file);
  return reason.substr(0, reason.find('\n'));
}

bool DiskFull(const fs::path& folder) {
  constexpr uintmax_t kNoRoom = 16 << 20;
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  return !unknown && space.available < kNoRoom;
}

Error DiskError(const fs::path& trial_folder) {
  const bool full = DiskFull(trial_folder);
  return Error(ErrorKind::kIo,
               "{}: this trial could not write its files ({}). Nothing finished is lost: {} and "
               "continue with --resume",
               trial_folder.string(), full ? "No space left on device" : "see log.txt there",
               full ? "make room" : "correct it");
}

}  // namespace lathe::study
