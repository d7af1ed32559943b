#include "study/program_report.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

using ReportJson = nlohmann::json;

constexpr size_t kLongestLine = 1 << 16;
constexpr int kMostReports = 10'000;
constexpr uintmax_t kLargestResult = 1 << 20;
constexpr size_t kLongestName = 200;
constexpr size_t kLongestError = 500;
// Of what the study itself knows of a trial, beside its metrics.
constexpr std::array<std::string_view, 5> kTaken = {"latency_us", "params", "macs", "reason",
                                                    "imported_from"};

// JSON has no such numbers, Python's json module writes them nevertheless; null is what Lathe's own
// files have for them.
std::string WithoutNans(std::string_view text) {
  static constexpr std::array<std::string_view, 3> kWords = {"-Infinity", "Infinity", "NaN"};
  std::string result;
  bool in_string = false;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const auto word = std::ranges::find_if(
        kWords, [&](std::string_view candidate) { return rest.starts_with(candidate); });
    size_t taken = 1;
    if (!in_string && word != kWords.end()) {
      result += "null";
      taken = word->size();
    } else {
      if (rest[0] == '"') in_string = !in_string;
      if (rest[0] == '\\') taken = std::min<size_t>(2, rest.size());
      result += rest.substr(0, taken);
    }
    at += taken;
  }
  return result;
}

ReportJson Parse(std::string_view text) {
  ReportJson json = ReportJson::parse(WithoutNans(text), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) throw Error(ErrorKind::kInput, "not JSON");
  if (!json.is_object()) throw Error(ErrorKind::kInput, "not a JSON object");
  return json;
}

// NaN for null.
double NumberOf(const std::string& name, const ReportJson& value) {
  const bool prints = std::ranges::none_of(name, [](unsigned char c) {
    return c < 0x20 || c == '"' || c == ',';
  });  // they become columns
  if (name.empty() || name.size() > kLongestName || !prints) {
    throw Error(ErrorKind::kInput,
                "'{}' is no name: 1 to {} bytes without commas, quotes and control characters",
                name.substr(0, kLongestName), kLongestName);
  }
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!value.is_number())
    throw Error(ErrorKind::kInput, "'{}' is of type {}, expected a number", name,
                value.type_name());
  const auto number = value.get<double>();
  if (name == "accuracy" && (number < 0 || number > 1))
    throw Error(ErrorKind::kInput, "'accuracy' is {:g}, expected a share from 0 to 1", number);
  return number;
}

MetricLine ParseReport(const std::string& line) {
  const ReportJson json = Parse(line);
  const auto step = json.find("step");
  if (step == json.end()) throw Error(ErrorKind::kInput, "no 'step': the number of the epoch");
  if (!step->is_number_integer() || *step < 0 || *step > std::numeric_limits<int>::max())
    throw Error(ErrorKind::kInput, "'step' is {}, expected a whole number from 0", step->dump());
  MetricLine report{.step = step->get<int>(), .values = {}};
  for (const auto& [name, value] : json.items()) {
    if (name != "step") report.values[name] = NumberOf(name, value);
  }
  return report;
}

std::map<std::string, double> ParseResult(const ReportJson& json) {
  std::map<std::string, double> metrics;
  for (const auto& [name, value] : json.items()) {
    const double number = NumberOf(name, value);
    if (std::ranges::find(kTaken, name) != kTaken.end())
      throw Error(ErrorKind::kInput, "'{}' is a name that Lathe uses itself", name);
    if (!std::isfinite(number)) throw Error(ErrorKind::kInput, "'{}' is not finite", name);
    metrics[name] = number;
  }
  if (!metrics.contains("accuracy")) throw Error(ErrorKind::kInput, "no 'accuracy'");
  return metrics;
}

// What the program says went wrong, on one line.
std::string ErrorOf(const ReportJson& json) {
  if (!json["error"].is_string())
    throw Error(ErrorKind::kInput, "'error' is of type {}, expected a text",
                json["error"].type_name());
  auto error = json["error"].get<std::string>().substr(0, kLongestError);
  std::ranges::replace(error, '\n', ' ');
  return error.empty() ? "failed without saying why" : error;
}

[[noreturn]] void Fail(const fs::path& file, std::string_view what) {
  throw Error(ErrorKind::kInput, "{}: {}", file.string(), what);
}

// Its size; nullopt while it is missing. A pipe would never end, so it is refused.
std::optional<uintmax_t> SizeOf(const fs::path& file) {
  std::error_code error;
  const fs::file_type type = fs::status(file, error).type();
  if (type == fs::file_type::not_found) return std::nullopt;
  if (type != fs::file_type::regular) Fail(file, "not a regular file");
  const uintmax_t size = fs::file_size(file, error);
  return error ? std::nullopt : std::optional(size);
}

}  // namespace

std::vector<MetricLine> ReportReader::Read() {
  std::vector<MetricLine> reports;
  const std::optional<uintmax_t> size = SizeOf(file_);
  if (!size || *size == read_) return reports;
  if (*size < read_) {  // begun anew
    begun_.clear();
    read_ = 0;
    lines_ = 0;
  }
  std::ifstream stream(file_, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(read_));
  std::array<char, kLongestLine> bytes;
  while (stream.read(bytes.data(), bytes.size()) || stream.gcount() > 0) {
    const auto count = static_cast<size_t>(stream.gcount());
    read_ += count;
    for (const char c : std::string_view(bytes.data(), count)) {
      if (c == '\n') {
        Take(std::exchange(begun_, {}), reports);
      } else if (begun_.size() < kLongestLine) {
        begun_ += c;
      } else {
        throw Error(ErrorKind::kInput, "{}:{}: a line of more than {} bytes", file_.string(),
                    lines_ + 1, kLongestLine);
      }
    }
  }
  return reports;
}

void ReportReader::Take(const std::string& line, std::vector<MetricLine>& reports) {
  if (++lines_ > kMostReports)
    Fail(file_, fmt::format("more than {} lines; report once per epoch", kMostReports));
  try {
    MetricLine report = ParseReport(line);
    if (report.step <= last_step_) return;
    last_step_ = report.step;
    reports.push_back(std::move(report));
  } catch (const Error& error) {
    spdlog::warn("{}:{}: passed over: {}", file_.string(), lines_, error.what());
  }
}

void CutTornLine(const fs::path& file) {
  const std::optional<uintmax_t> size = SizeOf(file);
  if (!size || *size == 0) return;
  std::string tail(std::min<uintmax_t>(*size, kLongestLine), '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(-static_cast<std::streamoff>(tail.size()), std::ios::end);
  stream.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  const size_t whole = tail.rfind('\n') + 1;  // 0 where there is none
  if (!stream || whole == tail.size()) return;
  std::error_code error;
  fs::resize_file(file, *size - tail.size() + whole, error);
  if (error) throw Error(ErrorKind::kIo, "cannot write {}: {}", file.string(), error.message());
}

TrialResult ReadProgramResult(const fs::path& file, int64_t number) {
  TrialResult result{.number = number, .ok = false, .error = {}, .metrics = {}};
  try {
    const std::optional<uintmax_t> size = SizeOf(file);
    if (!size) Fail(file, "the program ended without it");
    if (*size > kLargestResult)
      Fail(file, fmt::format("has more than {} bytes; a few numbers are enough", kLargestResult));
    const std::string text = ReadFile(file);
    try {
      const ReportJson json = Parse(text);
      if (json.contains("error")) {
        result.error = ErrorOf(json);
      } else {
        result.metrics = ParseResult(json);
        result.ok = true;
      }
    } catch (const Error& error) {
      Fail(file, error.what());
    }
  } catch (const Error& error) {
    result.error = error.what();
  }
  return result;
}

}  // namespace lathe::study
