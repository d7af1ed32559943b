#include "data/preprocessing_file.h"

#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/error.h"

namespace lathe::data {

std::string ToJson(const Preprocessing& preprocessing) {
  const auto used = [&](const std::array<float, 3>& values) {
    return std::vector<float>(values.begin(), values.begin() + preprocessing.channels);
  };
  const nlohmann::ordered_json json = {{"resolution", preprocessing.resolution},
                                       {"channels", preprocessing.channels},
                                       {"crop", preprocessing.crop},
                                       {"mean", used(preprocessing.mean)},
                                       {"std", used(preprocessing.std)}};
  return json.dump();
}

Preprocessing ParsePreprocessing(std::string_view json, std::string_view name) {
  const ConfigFile file = ConfigFile::ParseJson(json, name);
  const Config root = file.root();
  Preprocessing result;
  result.resolution = static_cast<int>(root.Int("resolution", {.min = 1, .max = 65536}));
  result.channels = static_cast<int>(root.Int("channels", {.min = 1, .max = 3}));
  result.crop = root.Real("crop", {.fallback = 1, .min = 0.01, .max = 1});
  const auto read = [&](std::string_view key, std::array<float, 3>& values) {
    const std::vector<double> given = root.Reals(key);
    if (std::ssize(given) != result.channels) {
      root.Fail(key, fmt::format("should have {} numbers, one per channel", result.channels));
    }
    for (size_t c = 0; c < given.size(); ++c) values[c] = static_cast<float>(given[c]);
  };
  read("mean", result.mean);
  read("std", result.std);
  for (int c = 0; c < result.channels; ++c) {
    if (!(result.std[static_cast<size_t>(c)] > 0)) root.Fail("std", "should be positive");
  }
  root.Finish();
  return result;
}

}  // namespace lathe::data
