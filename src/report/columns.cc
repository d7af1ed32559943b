#include "report/columns.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>

namespace lathe::report {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "columns are little-endian");

std::string Base64(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? std::to_integer<uint32_t>(bytes[i + k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
    }
  }
  return text;
}

template <typename T>
std::string Packed(std::span<const uint32_t> indices) {
  const std::vector<T> narrow(indices.begin(), indices.end());
  return Base64(std::as_bytes(std::span(narrow)));
}

template <typename T>
Json ByIndex(std::span<const T> values) {
  Json names = Json::array();
  std::map<T, uint32_t> known;
  std::vector<uint32_t> indices;
  indices.reserve(values.size());
  for (const T& value : values) {
    const auto [name, added] = known.try_emplace(value, static_cast<uint32_t>(known.size()));
    if (added) names.push_back(value);
    indices.push_back(name->second);
  }
  Json column = {{"names", std::move(names)}};
  if (known.size() <= 0x100) {
    column["u8"] = Packed<uint8_t>(indices);
  } else if (known.size() <= 0x10000) {
    column["u16"] = Packed<uint16_t>(indices);
  } else {
    column["u32"] = Packed<uint32_t>(indices);
  }
  return column;
}

}  // namespace

Json NumberColumn(std::span<const double> values) {
  const std::vector<float> floats(values.begin(), values.end());
  return {{"f32", Base64(std::as_bytes(std::span(floats)))}};
}

Json NameColumn(std::span<const std::string> values) { return ByIndex(values); }
Json NameColumn(std::span<const int> values) { return ByIndex(values); }

Json TrialColumns(const ReportData& data) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  struct Numbers {
    const char* name;
    double ReportTrial::*value;
    bool result;  // of a complete trial
  };
  static constexpr std::array kNumbers = {Numbers{"accuracy", &ReportTrial::accuracy, true},
                                          Numbers{"loss", &ReportTrial::loss, true},
                                          Numbers{"latency_us", &ReportTrial::latency_us, false},
                                          Numbers{"value", &ReportTrial::value, true},
                                          Numbers{"params", &ReportTrial::params, false},
                                          Numbers{"macs", &ReportTrial::macs, false},
                                          Numbers{"seconds", &ReportTrial::seconds, false}};
  const size_t count = data.trials.size();
  Json columns = {{"count", count}};
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; ++i) numbers[i] = static_cast<double>(data.trials[i].number);
  columns["number"] = NumberColumn(numbers);
  std::vector<std::string> names(count);
  for (size_t i = 0; i < count; ++i) names[i] = data.trials[i].state;
  columns["state"] = NameColumn(names);
  for (const Numbers& column : kNumbers) {
    for (size_t i = 0; i < count; ++i) {
      const ReportTrial& trial = data.trials[i];
      const double value = trial.*column.value;
      const bool known = column.result ? trial.Complete() : value > 0;
      numbers[i] = known ? value : kUnknown;
    }
    columns[column.name] = NumberColumn(numbers);
  }
  for (size_t i = 0; i < count; ++i) names[i] = data.trials[i].note;
  columns["note"] = NameColumn(names);
  columns["genes"] = Json::array();
  std::vector<int> choices(count);
  for (size_t gene = 0; gene < data.genes.size(); ++gene) {
    for (size_t i = 0; i < count; ++i) choices[i] = data.trials[i].encoding[gene];
    Json column = {{"name", data.genes[gene]}};
    column.update(NameColumn(choices));
    columns["genes"].push_back(std::move(column));
  }
  return columns;
}

}  // namespace lathe::report
