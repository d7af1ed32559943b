#include "study/parameters.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace lathe::study {
namespace {

using Json = nlohmann::ordered_json;

// Ordinal choices at equal distances.
bool IsRange(const Parameter& parameter) {
  const std::vector<int>& choices = parameter.choices;
  if (!parameter.ordinal || choices.empty()) return false;
  for (size_t i = 2; i < choices.size(); ++i) {
    if (choices[i] - choices[i - 1] != choices[1] - choices[0]) return false;
  }
  return true;
}

}  // namespace

std::string DistributionOf(const Parameter& parameter) {
  const std::vector<int>& choices = parameter.choices;
  if (!IsRange(parameter)) {
    return Json({{"name", "CategoricalDistribution"}, {"attributes", {{"choices", choices}}}})
        .dump();
  }
  const int step = choices.size() > 1 ? choices[1] - choices[0] : 1;
  return Json({{"name", "IntDistribution"},
               {"attributes",
                {{"log", false},
                 {"step", step},
                 {"low", choices.front()},
                 {"high", choices.back()}}}})
      .dump();
}

double InternalValue(const Parameter& parameter, int value) {
  const auto found = std::find(parameter.choices.begin(), parameter.choices.end(), value);
  if (found == parameter.choices.end()) {
    throw Error(ErrorKind::kInternal, "{} = {} is none of its {} choices", parameter.name, value,
                parameter.choices.size());
  }
  return IsRange(parameter) ? value : static_cast<double>(found - parameter.choices.begin());
}

int ExternalValue(const Parameter& parameter, double internal) {
  if (IsRange(parameter)) return static_cast<int>(internal);
  if (!(internal >= 0 && internal < static_cast<double>(parameter.choices.size()))) {
    throw Error(ErrorKind::kInput, "the study database is damaged: {} has no choice number {}",
                parameter.name, internal);
  }
  return parameter.choices[static_cast<size_t>(internal)];
}

std::string ToJson(const std::vector<Parameter>& parameters) {
  Json json = Json::array();
  for (const Parameter& parameter : parameters) {
    json.push_back(
        {{"name", parameter.name}, {"choices", parameter.choices}, {"ordinal", parameter.ordinal}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<Parameter> ParseParameters(const std::string& text, const std::filesystem::path& path) {
  try {
    std::vector<Parameter> parameters;
    for (const Json& json : Json::parse(text)) {
      parameters.push_back(
          {.name = json.at("name"), .choices = json.at("choices"), .ordinal = json.at("ordinal")});
    }
    return parameters;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kInput, "{}: damaged: parameters: {}", path.string(), error.what());
  }
}

std::string Difference(const std::vector<Parameter>& stored, const std::vector<Parameter>& wanted) {
  for (size_t i = 0; i < std::max(stored.size(), wanted.size()); ++i) {
    if (i >= stored.size()) return fmt::format("'{}' is new", wanted[i].name);
    if (i >= wanted.size()) return fmt::format("'{}' is gone", stored[i].name);
    if (stored[i].name != wanted[i].name)
      return fmt::format("'{}' instead of '{}'", wanted[i].name, stored[i].name);
    if (stored[i].choices != wanted[i].choices || stored[i].ordinal != wanted[i].ordinal) {
      return fmt::format("'{}' has the choices {{{}}} instead of {{{}}}", stored[i].name,
                         fmt::join(wanted[i].choices, ", "), fmt::join(stored[i].choices, ", "));
    }
  }
  return "";
}

}  // namespace lathe::study
