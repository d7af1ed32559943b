#include "latency/import_conv_file.h"

#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/csv.h"
#include "base/error.h"
#include "base/file.h"

namespace lathe::latency {
namespace {

constexpr std::string_view kExample = "{Regular,1,96,56,56,192,1,1,0} 0.0135";
constexpr double kFailed = -1;

enum Field { kBatch, kIn, kHeight, kWidth, kOut, kKernel, kStride, kFused, kFields };

struct Line {
  std::string_view key;  // "{...}"
  bool depthwise = false;
  std::array<int, kFields> fields{};
  double ms = 0;
};

bool ParseInteger(std::string_view text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Nothing, or what is wrong with the line.
std::string_view Read(std::string_view text, Line& line) {
  const size_t close = text.find('}');
  if (!text.starts_with('{') || close == std::string_view::npos)
    return "expected a convolution in braces";
  line.key = text.substr(0, close + 1);
  std::string_view rest = text.substr(1, close - 1);
  const auto next = [&rest] {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view field = TrimBlanks(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    return field;
  };
  const std::string_view type = next();
  line.depthwise = type == "Depthwise";
  if (!line.depthwise && type != "Regular") return "the first value must be Regular or Depthwise";
  for (int& field : line.fields) {
    if (rest.empty()) return "expected nine values in braces";
    if (!ParseInteger(next(), field)) return "a value in braces is not an integer";
  }
  if (!rest.empty()) return "expected nine values in braces";
  for (int i = 0; i < kFused; ++i) {
    if (line.fields[i] < 1 || line.fields[i] > 1 << 20)
      return "a batch, size, kernel or stride is below 1 or absurd";
  }
  if (line.fields[kFused] != 0 && line.fields[kFused] != 1)
    return "elementwise_fused must be 0 or 1";
  if (line.depthwise && line.fields[kIn] != line.fields[kOut])
    return "a depthwise convolution has as many outputs as inputs";
  const std::string_view ms = TrimBlanks(text.substr(close + 1));
  if (ms.empty()) return "the latency is missing; is the file cut short?";
  const std::optional<double> value = ParseNumber(ms);
  if (!value) return "the latency is not a number";
  line.ms = *value;
  if (line.ms != kFailed && !(std::isfinite(line.ms) && line.ms > 0))
    return "the latency must be milliseconds above 0, or -1 for a convolution that failed";
  return {};
}

Part PartOfLine(const Line& line) {
  const auto& f = line.fields;
  const auto after = [&f](int pixels) { return (pixels + f[kStride] - 1) / f[kStride]; };
  return {.kind = net::NodeKind::kConv,
          .in = {f[kIn], f[kHeight], f[kWidth]},
          .out = {f[kOut], after(f[kHeight]), after(f[kWidth])},
          .kernel = f[kKernel],
          .stride = f[kStride],
          .groups = line.depthwise ? f[kIn] : 1,
          .add = f[kFused] == 1};
}

}  // namespace

ConvTimings ReadConvTimings(const std::filesystem::path& path, int batch) {
  const std::string text = ReadFile(path);
  struct Seen {
    double ms;
    int number;
  };
  std::unordered_map<std::string_view, Seen> seen;
  std::map<int, int> batches;
  ConvTimings result;
  int number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view trimmed = TrimBlanks(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (trimmed.empty()) continue;
    Line line;
    if (const std::string_view wrong = Read(trimmed, line); !wrong.empty()) {
      throw Error(ErrorKind::kInput, "{}:{}: '{}': {}; a line looks like '{}'", path.string(),
                  number, trimmed.substr(0, 100), wrong, kExample);
    }
    const auto [before, added] = seen.emplace(line.key, Seen{line.ms, number});
    if (!added && before->second.ms != line.ms) {
      throw Error(ErrorKind::kInput,
                  "{}:{}: {} takes {} ms here and {} ms in line {}; keep the line that is right",
                  path.string(), number, line.key, line.ms, before->second.ms,
                  before->second.number);
    }
    if (!added) continue;
    ++batches[line.fields[kBatch]];
    if (line.fields[kBatch] != batch) continue;
    if (line.ms == kFailed) {
      ++result.failed;
    } else {
      result.timings.push_back({.part = PartOfLine(line), .latency_us = 1000 * line.ms});
    }
  }
  if (batches.empty()) {
    throw Error(ErrorKind::kInput, "{}: no timings; a line looks like '{}'", path.string(),
                kExample);
  }
  if (result.timings.empty()) {
    std::string there;
    for (const auto& [size, count] : batches)
      there += fmt::format("{}{} ({} lines)", there.empty() ? "" : ", ", size, count);
    throw Error(ErrorKind::kInput, "{}: no timings of batch {}; batches there: {}", path.string(),
                batch, there);
  }
  return result;
}

}  // namespace lathe::latency
