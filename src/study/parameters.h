// Parameters as Optuna stores them (distributions, internal values), and as JSON of our own for the
// whole study.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "study/store.h"

namespace lathe::study {

// Optuna's distribution_json: a range where ordinal choices are at equal distances, choices
// otherwise.
std::string DistributionOf(const Parameter& parameter);

// What Optuna stores: the value of a range, the index of a choice. Throws kInternal for a value
// that is no choice.
double InternalValue(const Parameter& parameter, int value);
int ExternalValue(const Parameter& parameter, double internal);

std::string ToJson(const std::vector<Parameter>& parameters);
// Throws kInput naming `path` for damaged text.
std::vector<Parameter> ParseParameters(const std::string& text, const std::filesystem::path& path);

// The first difference in words; "" if there is none.
std::string Difference(const std::vector<Parameter>& stored, const std::vector<Parameter>& wanted);

}  // namespace lathe::study
